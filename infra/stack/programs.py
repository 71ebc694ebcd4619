"""Rollbook's stack on one machine, as data: which programs, with which settings, in which order."""

import re
import secrets
from collections.abc import Mapping, Sequence

import msgspec

from infra.data_directory import DataDirectory, write_atomically
from infra.kafka.connection import KafkaConnection
from infra.launch import launched
from infra.secret_files import read_secret_text
from infra.stack.addresses import LOCAL_HOSTS, LOOPBACK, Hosts
from infra.stack.port_book import WantedPort
from infra.stack.program_settings import kafka_of, kind_of, only, prefixed, token_of, url, with_ready_file
from infra.stack.regions import LOCAL, admin_ports, preferred_ports, programs_of_region
from infra.supervisor.plan import HttpReady, ProgramSpec, TcpReady

MEASURED = ("api", "relay", "projections", "judge", "drift", "autoscaler", "batches")
"""Programs of ours that answer GET /metrics on a port of its own, beside those of the regions."""
PORTS = ("api", "kafka", "kafka_controller", "clickhouse", *(f"{program}_metrics" for program in MEASURED))
_PREFERRED = {"api": 8080}
_PASSWORD = re.compile(r"[A-Za-z0-9_-]{8,256}")


class Neighbours(msgspec.Struct, frozen=True, kw_only=True):
    """Servers that are there already and replace an embedded part."""

    kafka: KafkaConnection | None = None
    clickhouse_url: str | None = None
    otlp_endpoint: str | None = None


def wanted_ports(
    fixed: Mapping[str, int | None], *, regions: Sequence[str] = (LOCAL,), hosts: Hosts = LOCAL_HOSTS
) -> dict[str, WantedPort]:
    """Describe the ports of the stack; ``fixed`` holds those that a person chose."""
    preferred = {**_PREFERRED, **preferred_ports(regions)}
    names = (*PORTS, *preferred_ports(regions))
    return {
        name: WantedPort(fixed=fixed.get(name), preferred=preferred.get(name), host=_host_of(name, hosts))
        for name in names
    }


def rollbook_stack(
    data: DataDirectory,
    ports: Mapping[str, int],
    neighbours: Neighbours,
    *,
    clickhouse_password: str,
    regions: Sequence[str] = (LOCAL,),
    hosts: Hosts = LOCAL_HOSTS,
) -> tuple[ProgramSpec, ...]:
    """Write the plan: broker and ClickHouse, then the API, then all that follows its log, each region's part too.

    The first region is the home of the stack, whose gateway is the one that people are shown.
    """
    kafka = neighbours.kafka or KafkaConnection(bootstrap=f"{LOOPBACK}:{ports['kafka']}")
    embedded = f"http://default:{clickhouse_password}@{LOOPBACK}:{ports['clickhouse']}/default"
    clickhouse = neighbours.clickhouse_url or embedded
    common = {
        "DATA_DIR": str(data.root),
        **{f"KAFKA_{name}": value for name, value in kafka.variables.items()},
        "CLICKHOUSE_URL": clickhouse,
        "API_URL": url(ports["api"], host=hosts.dialled),
    }
    return (
        *([] if neighbours.kafka else [_kafka(data, ports)]),
        *([] if neighbours.clickhouse_url else [_clickhouse(data, ports, clickhouse_password)]),
        *(
            _traced(_measured(program, ports), neighbours)
            for program in (
                _api(data, ports, common, neighbours, hosts),
                *_log_followers(data, common),
                *(
                    program
                    for region in regions
                    for program in programs_of_region(
                        data, region, ports, common, hosts=hosts, is_home=region == regions[0]
                    )
                ),
                _autoscaler(data, ports, common, regions),
                _batches(data, ports, common, hosts),
            )
        ),
    )


def _host_of(port: str, hosts: Hosts) -> str:
    # All others are for programs of this host alone: brokers, metrics, and the pages of Envoy that configure it.
    is_for_others = port == "api" or port.partition("-")[0] == "gateway"
    return str(hosts.bind) if is_for_others else LOOPBACK


def _traced(program: ProgramSpec, neighbours: Neighbours) -> ProgramSpec:
    kind = kind_of(program)
    if neighbours.otlp_endpoint is None or kind not in ("api", "follower", "agent"):
        return program
    own = prefixed(kind, {"OTLP_ENDPOINT": neighbours.otlp_endpoint})
    return msgspec.structs.replace(program, environment={**program.environment, **own})


def _measured(program: ProgramSpec, ports: Mapping[str, int]) -> ProgramSpec:
    kind = kind_of(program)
    region = program.name.removeprefix(kind)
    if kind == "envoy":
        return msgspec.structs.replace(program, metrics=url(ports[f"envoy_admin{region}"], "/stats/prometheus"))
    port = ports[f"{kind}_metrics{region}"]
    own = prefixed(kind, {"METRICS_PORT": str(port)})
    return msgspec.structs.replace(program, environment={**program.environment, **own}, metrics=url(port, "/metrics"))


def clickhouse_password(data: DataDirectory) -> str:
    """Return the password of the embedded server, made at the first start.

    Raises:
        SecretFileError: its file does not hold one.
    """
    path = data.root / "secrets" / "clickhouse.password"
    path.parent.mkdir(mode=0o700, exist_ok=True)
    if not path.exists():
        write_atomically(path, secrets.token_urlsafe(24).encode())
    return read_secret_text(path, _PASSWORD, what="a password", remedy="delete it: the next start makes another one")


def _kafka(data: DataDirectory, ports: Mapping[str, int]) -> ProgramSpec:
    own = {
        "HOST": LOOPBACK,
        "PORT": str(ports["kafka"]),
        "CONTROLLER_PORT": str(ports["kafka_controller"]),
        "DATA_DIR": str(data.part("kafka")),
    }
    return ProgramSpec(
        name="kafka",
        argv=launched("kafka"),
        environment=prefixed("kafka", own),
        ready=TcpReady(LOOPBACK, ports["kafka"]),
        # The first start downloads the jars.
        ready_seconds=300.0,
        addresses=(f"{LOOPBACK}:{ports['kafka']}",),
    )


def _clickhouse(data: DataDirectory, ports: Mapping[str, int], password: str) -> ProgramSpec:
    own = {
        "HOST": LOOPBACK,
        "PORT": str(ports["clickhouse"]),
        "DATA_DIR": str(data.part("clickhouse")),
        "PASSWORD": password,
    }
    return ProgramSpec(
        name="clickhouse",
        argv=launched("clickhouse"),
        environment=prefixed("clickhouse", own),
        ready=HttpReady(url(ports["clickhouse"], "/ping")),
        stop_seconds=20.0,
        addresses=(url(ports["clickhouse"]),),
    )


def _api(
    data: DataDirectory, ports: Mapping[str, int], common: Mapping[str, str], neighbours: Neighbours, hosts: Hosts
) -> ProgramSpec:
    own = {
        **only(common, "DATA_DIR", *kafka_of(common), "CLICKHOUSE_URL"),
        "HOST": str(hosts.bind),
        "PORT": str(ports["api"]),
        "RELAY_NUDGE_SOCKET": _nudge_socket(data),
        "GATEWAY_URL": url(ports["gateway"], host=hosts.announced),
    }
    embedded = {"kafka": neighbours.kafka, "clickhouse": neighbours.clickhouse_url}
    return ProgramSpec(
        name="api",
        argv=launched("api"),
        environment=prefixed("api", own),
        depends_on=tuple(name for name, replaced in embedded.items() if replaced is None),
        ready=HttpReady(url(ports["api"], "/readyz", host=hosts.dialled)),
        addresses=(url(ports["api"], host=hosts.announced),),
    )


def _log_followers(data: DataDirectory, common: Mapping[str, str]) -> tuple[ProgramSpec, ...]:
    relay = {**only(common, "DATA_DIR", *kafka_of(common)), "NUDGE_SOCKET": _nudge_socket(data)}
    projections = only(common, "DATA_DIR", *kafka_of(common), "CLICKHOUSE_URL")
    judge = {**only(common, "API_URL", *kafka_of(common)), **token_of(data, "judge")}
    drift = {**only(common, "API_URL", *kafka_of(common)), **token_of(data, "drift")}
    return (
        with_ready_file(data, "relay", relay, after="api"),
        with_ready_file(data, "projections", projections, after="api"),
        with_ready_file(data, "judge", judge, after="relay"),
        with_ready_file(data, "drift", drift, after="relay"),
    )


def _autoscaler(
    data: DataDirectory, ports: Mapping[str, int], common: Mapping[str, str], regions: Sequence[str]
) -> ProgramSpec:
    own = {
        **only(common, "DATA_DIR", "API_URL", *kafka_of(common)),
        **token_of(data, "autoscaler"),
        "ENVOY_ADMIN_URLS": ",".join(url(port) for port in admin_ports(regions, ports)),
    }
    return with_ready_file(data, "autoscaler", own, after="api")


def _batches(data: DataDirectory, ports: Mapping[str, int], common: Mapping[str, str], hosts: Hosts) -> ProgramSpec:
    gateway = url(ports["gateway"], host=hosts.dialled)
    own = {**only(common, "DATA_DIR", "API_URL"), **token_of(data, "batches"), "GATEWAY_URL": gateway}
    return with_ready_file(data, "batches", own, after="api")


def _nudge_socket(data: DataDirectory) -> str:
    return str(data.run / "relay.sock")
