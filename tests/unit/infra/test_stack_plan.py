"""The plan of the stack: which programs there are, what each is told, and where they listen."""

import re
from importlib.metadata import entry_points
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from infra.data_directory import DataDirectory
from infra.errors import CannotStartError, InvalidSettingsError
from infra.kafka.connection import KafkaConnection
from infra.launch import GROUP
from infra.stack.addresses import LOCAL_HOSTS, ON_LOOPBACK, Hosts, require_own
from infra.stack.app import gather_settings
from infra.stack.programs import Neighbours, rollbook_stack, wanted_ports
from infra.stack.regions import LOCAL, settled_regions
from infra.supervisor.plan import HttpReady, ProgramSpec, check_plan


def plan_of(
    neighbours: Neighbours, *, regions: tuple[str, ...] = (LOCAL,), hosts: Hosts = LOCAL_HOSTS
) -> dict[str, ProgramSpec]:
    ports = {name: 20_000 + number for number, name in enumerate(wanted_ports({}, regions=regions))}
    data = DataDirectory(Path("/data"))
    plan = rollbook_stack(data, ports, neighbours, clickhouse_password="p", regions=regions, hosts=hosts)
    check_plan(plan)
    return {spec.name: spec for spec in plan}


def test_each_program_of_the_stack_is_an_entry_point_and_gets_only_its_own_settings() -> None:
    plan = plan_of(Neighbours())

    assert set(plan) <= {point.name for point in entry_points(group=GROUP)}
    for spec in plan.values():
        assert spec.argv[-1] == spec.name
        assert all(name.startswith(f"ROLLBOOK_{spec.name.upper()}_") for name in spec.environment)


def test_each_region_has_its_own_gateway_and_agent_with_ports_of_their_own() -> None:
    plan = plan_of(Neighbours(), regions=("eu-west", "us-east"))

    for name in ("follower", "envoy", "shipper", "agent"):
        home, far = plan[name], plan[f"{name}-us-east"]
        prefix = f"ROLLBOOK_{name.upper()}_"
        assert (home.region, far.region) == ("eu-west", "us-east")
        assert (home.argv[-1], far.argv[-1]) == (name, name)
        assert (home.environment[f"{prefix}REGION"], far.environment[f"{prefix}REGION"]) == ("eu-west", "us-east")
        assert not _ports(home) & _ports(far)
    assert (
        plan["envoy-us-east"].environment["ROLLBOOK_ENVOY_ADS_PORT"]
        == (plan["follower-us-east"].environment["ROLLBOOK_FOLLOWER_ADS_PORT"])
    )
    assert plan["judge"].region == ""


def test_the_autoscaler_looks_at_the_gateways_of_all_regions() -> None:
    plan = plan_of(Neighbours(), regions=("eu-west", "us-east"))

    looked_at = plan["autoscaler"].environment["ROLLBOOK_AUTOSCALER_ENVOY_ADMIN_URLS"].split(",")

    assert [f"{each}/stats/prometheus" for each in looked_at] == [plan["envoy"].metrics, plan["envoy-us-east"].metrics]


def _ports(spec: ProgramSpec) -> set[str]:
    return {value for name, value in spec.environment.items() if name.endswith("_PORT")}


def test_the_regions_of_a_directory_are_kept_and_never_dropped(tmp_path: Path) -> None:
    data = DataDirectory(tmp_path)

    assert settled_regions(data, None) == ("local",)
    assert settled_regions(data, "eu-west, us-east") == ("eu-west", "us-east")
    assert settled_regions(data, None) == ("eu-west", "us-east")
    assert settled_regions(data, "us-east,eu-west,ap-south") == ("us-east", "eu-west", "ap-south")
    with pytest.raises(CannotStartError, match="ap-south"):
        settled_regions(data, "us-east,eu-west")


def test_a_directory_from_before_regions_keeps_its_local_one(tmp_path: Path) -> None:
    (tmp_path / "agent" / "local").mkdir(parents=True)

    with pytest.raises(CannotStartError, match="local"):
        settled_regions(DataDirectory(tmp_path), "eu-west")


@pytest.mark.parametrize("regions", ["", "eu,eu", "EU", "eu/west", "a,b,c,d,e,f,g,h,i", "-eu"])
def test_what_names_no_regions_is_refused(tmp_path: Path, regions: str) -> None:
    with pytest.raises(CannotStartError, match="regions"):
        settled_regions(DataDirectory(tmp_path), regions)


def test_servers_that_are_there_already_replace_the_embedded_parts() -> None:
    plan = plan_of(Neighbours(kafka=KafkaConnection(bootstrap="k:9092"), clickhouse_url="http://c:8123/d"))

    assert not {"kafka", "clickhouse"} & set(plan)
    assert plan["api"].depends_on == ()
    assert plan["api"].environment["ROLLBOOK_API_KAFKA_BOOTSTRAP"] == "k:9092"
    assert plan["projections"].environment["ROLLBOOK_PROJECTIONS_CLICKHOUSE_URL"] == "http://c:8123/d"


def test_every_client_of_kafka_is_told_how_it_is_spoken_to(tmp_path: Path) -> None:
    (ca_file := tmp_path / "ca.pem").touch()
    kafka = KafkaConnection(bootstrap="k:9092", security_protocol="SSL", ca_file=ca_file, replication_factor=3)

    plan = plan_of(Neighbours(kafka=kafka), regions=("eu-west", "us-east"))

    for spec in plan.values():
        prefix = f"ROLLBOOK_{spec.argv[-1].upper()}_KAFKA_"
        told = {name: value for name, value in spec.environment.items() if name.startswith(prefix)}
        if told:
            assert told == {f"{prefix}{name}": value for name, value in kafka.variables.items()}
    knowing = {spec.argv[-1] for spec in plan.values() if any("_KAFKA_CA_FILE" in name for name in spec.environment)}
    assert knowing == {"api", "relay", "projections", "judge", "drift", "autoscaler", "follower", "shipper", "agent"}


def test_a_kafka_of_ones_own_is_named_by_short_names() -> None:
    environ = {
        "ROLLBOOK_KAFKA_BOOTSTRAP": "k:9092",
        "ROLLBOOK_KAFKA_SECURITY_PROTOCOL": "SSL",
        "ROLLBOOK_KAFKA_PORT": "1",
    }

    settings = gather_settings(environ)

    assert settings.kafka == KafkaConnection(bootstrap="k:9092", security_protocol="SSL")
    assert environ == {"ROLLBOOK_KAFKA_PORT": "1"}


def test_short_names_reach_the_supervisor_and_not_its_programs() -> None:
    environ = {"ROLLBOOK_DATA_DIR": "/d", "ROLLBOOK_CLICKHOUSE_URL": "http://c", "ROLLBOOK_AGENT_ZONE": "z"}

    settings = gather_settings(environ)

    assert (settings.data_dir, settings.clickhouse_url) == (Path("/d"), "http://c")
    assert environ == {"ROLLBOOK_AGENT_ZONE": "z"}


def test_without_a_word_everything_is_on_loopback() -> None:
    plan = plan_of(Neighbours())

    for spec in plan.values():
        assert {value for name, value in spec.environment.items() if name.endswith("_HOST")} <= {"127.0.0.1"}
        assert all("127.0.0.1" in address for address in spec.addresses)


def test_what_others_call_listens_on_the_network_and_tells_an_address_of_it() -> None:
    hosts = Hosts(bind=IPv4Address("0.0.0.0"), advertised=IPv4Address("10.2.0.7"))

    plan = plan_of(Neighbours(), regions=("eu-west", "us-east"), hosts=hosts)

    api, agent = plan["api"], plan["agent-us-east"].environment
    assert (api.environment["ROLLBOOK_API_HOST"], api.addresses[0][:16]) == ("0.0.0.0", "http://10.2.0.7:")
    assert isinstance(api.ready, HttpReady)
    assert api.ready.url.startswith("http://127.0.0.1:")
    for name in ("", "-us-east"):
        assert plan[f"follower{name}"].environment["ROLLBOOK_FOLLOWER_ENVOY_HOST"] == "0.0.0.0"
        assert plan[f"envoy{name}"].environment["ROLLBOOK_ENVOY_HOST"] == "0.0.0.0"
        assert plan[f"envoy{name}"].addresses[0].startswith("http://10.2.0.7:")
    assert (agent["ROLLBOOK_AGENT_BIND_HOST"], agent["ROLLBOOK_AGENT_ADVERTISED_HOST"]) == ("0.0.0.0", "10.2.0.7")


def test_brokers_metrics_and_admin_pages_stay_on_loopback() -> None:
    hosts = Hosts(bind=IPv4Address("10.2.0.7"))

    plan = plan_of(Neighbours(), hosts=hosts)

    assert plan["kafka"].environment["ROLLBOOK_KAFKA_HOST"] == "127.0.0.1"
    assert plan["clickhouse"].environment["ROLLBOOK_CLICKHOUSE_HOST"] == "127.0.0.1"
    assert all(spec.metrics is None or spec.metrics.startswith("http://127.0.0.1:") for spec in plan.values())
    assert "127.0.0.1" in plan["autoscaler"].environment["ROLLBOOK_AUTOSCALER_ENVOY_ADMIN_URLS"]
    # Programs of this host reach those that listen on one address of it there.
    assert plan["judge"].environment["ROLLBOOK_JUDGE_API_URL"].startswith("http://10.2.0.7:")


def test_ports_are_looked_for_where_they_are_listened_on() -> None:
    wanted = wanted_ports({}, regions=("eu-west", "us-east"), hosts=Hosts(bind=IPv4Address("10.2.0.7")))

    outside = {name for name, port in wanted.items() if port.host == "10.2.0.7"}

    assert outside == {"api", "gateway", "gateway-us-east"}
    assert {port.host for name, port in wanted.items() if name not in outside} == {"127.0.0.1"}


@pytest.mark.parametrize(
    ("bind", "advertised", "told"),
    [
        ("127.0.0.1", "10.2.0.7", "cannot be 10.2.0.7"),
        ("0.0.0.0", "0.0.0.0", "cannot be 0.0.0.0"),
        ("0.0.0.0", "224.0.0.1", "cannot be 224.0.0.1"),
        ("0.0.0.0", "255.255.255.255", "cannot be 255.255.255.255"),
        ("10.2.0.7", "127.0.0.1", "cannot be 127.0.0.1"),
        ("0.0.0.0", "", "is not set"),
    ],
)
def test_an_address_that_nobody_could_reach_is_not_advertised(bind: str, advertised: str, told: str) -> None:
    environ = {"ROLLBOOK_SUPERVISOR_BIND_HOST": bind}
    if advertised:
        environ["ROLLBOOK_SUPERVISOR_ADVERTISED_HOST"] = advertised

    with pytest.raises(InvalidSettingsError, match=re.escape(f"ROLLBOOK_SUPERVISOR_ADVERTISED_HOST {told}")):
        gather_settings(environ)


def test_an_address_of_another_host_is_not_bound() -> None:
    require_own(ON_LOOPBACK)

    with pytest.raises(CannotStartError, match=r"BIND_HOST is 192\.0\.2\.1, which cannot be bound"):
        require_own(IPv4Address("192.0.2.1"))
