"""Rollbook's stack on one machine, as data: which programs, with which settings, in which order."""

import os
import secrets
from collections.abc import Mapping

import msgspec

from infra.data_directory import DataDirectory, write_atomically
from infra.ports import LOOPBACK
from infra.supervisor.launch import launched
from infra.supervisor.plan import FileReady, HttpReady, ProgramSpec, Readiness, TcpReady
from infra.supervisor.port_book import WantedPort

REGION = "local"
MAXIMUM_BODY_BYTES = 33_554_432
MEASURED = ("api", "relay", "projections", "follower", "shipper", "agent", "judge")
"""Programs of ours that answer GET /metrics on a port of its own; engines answer on their own, Envoy as admin."""
PORTS = (
    *("api", "gateway", "kafka", "kafka_controller", "clickhouse", "ads", "envoy_admin"),
    *(f"{program}_metrics" for program in MEASURED),
)
_PREFERRED = {"api": 8080, "gateway": 8090}


class Neighbours(msgspec.Struct, frozen=True, kw_only=True):
    """Servers that are there already and replace an embedded part."""

    kafka_bootstrap: str | None = None
    clickhouse_url: str | None = None
    otlp_endpoint: str | None = None


def wanted_ports(fixed: Mapping[str, int | None]) -> dict[str, WantedPort]:
    """Describe the ports of the stack; ``fixed`` holds those that a person chose."""
    return {name: WantedPort(fixed=fixed.get(name), preferred=_PREFERRED.get(name)) for name in PORTS}


def rollbook_stack(
    data: DataDirectory, ports: Mapping[str, int], neighbours: Neighbours, *, clickhouse_password: str
) -> tuple[ProgramSpec, ...]:
    """Write the plan: broker and ClickHouse, then the API, then all that follows its log."""
    kafka = neighbours.kafka_bootstrap or f"{LOOPBACK}:{ports['kafka']}"
    embedded = f"http://default:{clickhouse_password}@{LOOPBACK}:{ports['clickhouse']}/default"
    clickhouse = neighbours.clickhouse_url or embedded
    common = {
        "DATA_DIR": str(data.root),
        "KAFKA_BOOTSTRAP": kafka,
        "CLICKHOUSE_URL": clickhouse,
        "API_URL": _url(ports["api"]),
        "TOKEN_FILE": str(data.root / "secrets" / "service.token"),
        "REGION": REGION,
    }
    return (
        *([] if neighbours.kafka_bootstrap else [_kafka(data, ports)]),
        *([] if neighbours.clickhouse_url else [_clickhouse(data, ports, clickhouse_password)]),
        *(
            _traced(_measured(program, ports), neighbours)
            for program in (
                _api(data, ports, common, neighbours),
                *_followers_of_the_log(data, ports, common),
                *_data_plane(data, ports, common),
            )
        ),
    )


def _traced(program: ProgramSpec, neighbours: Neighbours) -> ProgramSpec:
    if neighbours.otlp_endpoint is None or program.name not in ("api", "follower", "agent"):
        return program
    own = _prefixed(program.name, {"OTLP_ENDPOINT": neighbours.otlp_endpoint})
    return msgspec.structs.replace(program, environment={**program.environment, **own})


def _measured(program: ProgramSpec, ports: Mapping[str, int]) -> ProgramSpec:
    if program.name == "envoy":
        return msgspec.structs.replace(program, metrics=_url(ports["envoy_admin"], "/stats/prometheus"))
    port = ports[f"{program.name}_metrics"]
    own = _prefixed(program.name, {"METRICS_PORT": str(port)})
    return msgspec.structs.replace(program, environment={**program.environment, **own}, metrics=_url(port, "/metrics"))


def clickhouse_password(data: DataDirectory) -> str:
    """Return the password of the embedded server, made at the first start."""
    path = data.root / "secrets" / "clickhouse.password"
    path.parent.mkdir(mode=0o700, exist_ok=True)
    if not path.exists():
        write_atomically(path, secrets.token_urlsafe(24).encode())
    return path.read_text().strip()


def _kafka(data: DataDirectory, ports: Mapping[str, int]) -> ProgramSpec:
    own = {
        "PORT": str(ports["kafka"]),
        "CONTROLLER_PORT": str(ports["kafka_controller"]),
        "DATA_DIR": str(data.part("kafka")),
    }
    return ProgramSpec(
        name="kafka",
        argv=launched("kafka"),
        environment=_prefixed("kafka", own),
        ready=TcpReady(ports["kafka"]),
        # The first start downloads the jars.
        ready_seconds=300.0,
        addresses=(f"{LOOPBACK}:{ports['kafka']}",),
    )


def _clickhouse(data: DataDirectory, ports: Mapping[str, int], password: str) -> ProgramSpec:
    own = {"PORT": str(ports["clickhouse"]), "DATA_DIR": str(data.part("clickhouse")), "PASSWORD": password}
    return ProgramSpec(
        name="clickhouse",
        argv=launched("clickhouse"),
        environment=_prefixed("clickhouse", own),
        ready=HttpReady(_url(ports["clickhouse"], "/ping")),
        stop_seconds=20.0,
        addresses=(_url(ports["clickhouse"]),),
    )


def _api(
    data: DataDirectory, ports: Mapping[str, int], common: Mapping[str, str], neighbours: Neighbours
) -> ProgramSpec:
    own = {
        **_only(common, "DATA_DIR", "KAFKA_BOOTSTRAP", "CLICKHOUSE_URL"),
        "HOST": LOOPBACK,
        "PORT": str(ports["api"]),
        "RELAY_NUDGE_SOCKET": _nudge_socket(data),
        "GATEWAY_URL": _url(ports["gateway"]),
    }
    embedded = {"kafka": neighbours.kafka_bootstrap, "clickhouse": neighbours.clickhouse_url}
    return ProgramSpec(
        name="api",
        argv=launched("api"),
        environment=_prefixed("api", own),
        depends_on=tuple(name for name, replaced in embedded.items() if replaced is None),
        ready=HttpReady(_url(ports["api"], "/readyz")),
        addresses=(_url(ports["api"]),),
    )


def _followers_of_the_log(
    data: DataDirectory, ports: Mapping[str, int], common: Mapping[str, str]
) -> tuple[ProgramSpec, ...]:
    relay = {**_only(common, "DATA_DIR", "KAFKA_BOOTSTRAP"), "NUDGE_SOCKET": _nudge_socket(data)}
    projections = _only(common, "DATA_DIR", "KAFKA_BOOTSTRAP", "CLICKHOUSE_URL")
    follower = {
        **_only(common, "DATA_DIR", "API_URL", "TOKEN_FILE", "KAFKA_BOOTSTRAP", "REGION"),
        "ADS_PORT": str(ports["ads"]),
        "ENVOY_PORT": str(ports["gateway"]),
        "ENVOY_ADMIN_PORT": str(ports["envoy_admin"]),
        "MAX_BODY_BYTES": str(MAXIMUM_BODY_BYTES),
    }
    return (
        _with_ready_file(data, "relay", relay, after="api"),
        _with_ready_file(data, "projections", projections, after="api"),
        _with_ready_file(data, "follower", follower, after="api"),
    )


def _data_plane(data: DataDirectory, ports: Mapping[str, int], common: Mapping[str, str]) -> tuple[ProgramSpec, ...]:
    envoy = {
        **_only(common, "DATA_DIR", "REGION"),
        "PORT": str(ports["gateway"]),
        "ADMIN_PORT": str(ports["envoy_admin"]),
        "ADS_PORT": str(ports["ads"]),
        "MAX_BODY_BYTES": str(MAXIMUM_BODY_BYTES),
    }
    agent = {
        **_only(common, "DATA_DIR", "API_URL", "TOKEN_FILE", "KAFKA_BOOTSTRAP", "REGION"),
        "AGENT_ID": REGION,
        "ZONE": REGION,
        # Engines outlive their agent and end with the supervisor.
        "SUPERVISOR_PID": str(os.getpid()),
    }
    shipper = {
        **_only(common, "DATA_DIR", "KAFKA_BOOTSTRAP", "REGION"),
        "ENVOY_ADMIN_PORT": str(ports["envoy_admin"]),
    }
    gateway = ProgramSpec(
        name="envoy",
        argv=launched("envoy"),
        environment=_prefixed("envoy", envoy),
        depends_on=("follower",),
        ready=HttpReady(_url(ports["envoy_admin"], "/ready")),
        addresses=(_url(ports["gateway"]),),
    )
    return (
        gateway,
        _with_ready_file(data, "shipper", shipper, after="follower"),
        _with_ready_file(data, "agent", agent, after="follower"),
        _with_ready_file(data, "judge", _only(common, "API_URL", "TOKEN_FILE", "KAFKA_BOOTSTRAP"), after="api"),
    )


def _with_ready_file(data: DataDirectory, name: str, own: Mapping[str, str], *, after: str) -> ProgramSpec:
    path = data.run / f"{name}.ready"
    ready: Readiness = FileReady(str(path))
    return ProgramSpec(
        name=name,
        argv=launched(name),
        environment=_prefixed(name, {**own, "READY_FILE": str(path)}),
        depends_on=(after,),
        ready=ready,
    )


def _nudge_socket(data: DataDirectory) -> str:
    return str(data.run / "relay.sock")


def _prefixed(program: str, own: Mapping[str, str]) -> dict[str, str]:
    return {f"ROLLBOOK_{program.upper()}_{name}": value for name, value in own.items()}


def _only(common: Mapping[str, str], *names: str) -> dict[str, str]:
    return {name: common[name] for name in names}


def _url(port: int, path: str = "") -> str:
    return f"http://{LOOPBACK}:{port}{path}"
