from importlib.metadata import entry_points
from pathlib import Path

import pytest

from infra.data_directory import DataDirectory
from infra.errors import CannotStartError
from infra.launch import GROUP
from infra.stack.app import gather_settings
from infra.stack.programs import Neighbours, rollbook_stack, wanted_ports
from infra.stack.regions import LOCAL, settled_regions
from infra.supervisor.log_file import LogFile
from infra.supervisor.plan import ProgramSpec, RestartPolicy, check_plan
from infra.supervisor.status import cannot_start_reason


def program(name: str, *after: str) -> ProgramSpec:
    return ProgramSpec(name=name, argv=("true",), depends_on=after)


@pytest.mark.parametrize(
    "plan",
    [
        [program("a", "b"), program("b", "a")],
        [program("a", "missing")],
        [program("a"), program("a")],
    ],
)
def test_a_plan_that_cannot_be_started_is_refused(plan: list[ProgramSpec]) -> None:
    with pytest.raises(CannotStartError):
        check_plan(plan)


def test_the_wait_before_a_restart_doubles_up_to_its_ceiling() -> None:
    policy = RestartPolicy(first_seconds=0.1, ceiling_seconds=1.0)

    assert [policy.wait_seconds(deaths) for deaths in (1, 2, 3, 9, 9_999)] == [0.1, 0.2, 0.4, 1.0, 1.0]


def plan_of(neighbours: Neighbours, *, regions: tuple[str, ...] = (LOCAL,)) -> dict[str, ProgramSpec]:
    ports = {name: 20_000 + number for number, name in enumerate(wanted_ports({}, regions=regions))}
    data = DataDirectory(Path("/data"))
    plan = rollbook_stack(data, ports, neighbours, clickhouse_password="p", regions=regions)
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
    plan = plan_of(Neighbours(kafka_bootstrap="k:9092", clickhouse_url="http://c:8123/d"))

    assert not {"kafka", "clickhouse"} & set(plan)
    assert plan["api"].depends_on == ()
    assert plan["api"].environment["ROLLBOOK_API_KAFKA_BOOTSTRAP"] == "k:9092"
    assert plan["projections"].environment["ROLLBOOK_PROJECTIONS_CLICKHOUSE_URL"] == "http://c:8123/d"


def test_short_names_reach_the_supervisor_and_not_its_programs() -> None:
    environ = {"ROLLBOOK_DATA_DIR": "/d", "ROLLBOOK_CLICKHOUSE_URL": "http://c", "ROLLBOOK_AGENT_ZONE": "z"}

    settings = gather_settings(environ)

    assert (settings.data_dir, settings.clickhouse_url) == (Path("/d"), "http://c")
    assert environ == {"ROLLBOOK_AGENT_ZONE": "z"}


def test_the_reason_is_found_among_other_lines() -> None:
    log = 'noise\n{"event": "cannot_start", "reason": "first"}\n{"event": "cannot_start", "reason": "last"}\n[1]\n{'

    assert cannot_start_reason(log) == "last"
    assert cannot_start_reason("noise") is None


def test_a_log_that_grows_too_large_is_cut_and_older_parts_are_bounded(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "a.log", maximum_bytes=10)

    for text in ("first part..", "second part.", "third part..", "short"):
        log.path.write_text(text)
        log.rotate()

    assert log.tail() == "short"
    assert (tmp_path / "a.log.1").read_text() == "third part.."
    assert (tmp_path / "a.log.2").read_text() == "second part."
    assert len(list(tmp_path.iterdir())) == 3
