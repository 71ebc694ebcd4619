"""The program ``supervisor``: holds one data directory and runs the stack on it until told to stop."""

import asyncio
import os
import sys
from collections.abc import MutableMapping
from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated

import msgspec
import structlog

from infra.arguments import take_no_arguments
from infra.data_directory import exclusive, open_data_directory
from infra.kafka.connection import KafkaConnection
from infra.settings import load_settings
from infra.shutdown import run_program
from infra.stack.addresses import ON_LOOPBACK, Hosts, require_own
from infra.stack.port_book import assign_ports
from infra.stack.programs import Neighbours, clickhouse_password, rollbook_stack, wanted_ports
from infra.stack.regions import settled_regions
from infra.supervisor.log_file import LogFile
from infra.supervisor.stack_runner import StackRunner
from infra.tracing import OtlpEndpoint

PREFIX = "ROLLBOOK_SUPERVISOR_"
_DRAIN_SECONDS = 90.0
_log = structlog.get_logger(__name__)

Port = Annotated[int, msgspec.Meta(ge=1, le=65_535, description="fixed port; unset: any free one")]


class SupervisorSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the supervisor needs to know; a port that is not set is chosen once and kept."""

    data_dir: Annotated[Path, msgspec.Meta(description="the folder for all state of the stack")]
    api_port: Port | None = None
    gateway_port: Port | None = None
    kafka_port: Port | None = None
    clickhouse_port: Port | None = None
    bind_host: Annotated[
        IPv4Address, msgspec.Meta(description="address that the API, the gateways and the engines listen on")
    ] = ON_LOOPBACK
    advertised_host: Annotated[
        IPv4Address | None,
        msgspec.Meta(description="address at which other hosts reach them; defaults to the same address"),
    ] = None
    kafka: KafkaConnection | None = None
    clickhouse_url: Annotated[
        str | None, msgspec.Meta(description="URL of a ClickHouse to use instead of the embedded one")
    ] = None
    otlp_endpoint: OtlpEndpoint = None
    regions: Annotated[
        str | None, msgspec.Meta(description="comma-separated regions to run on this machine; the first is home")
    ] = None
    detached: Annotated[
        bool, msgspec.Meta(description="write to logs/supervisor.log, and hold no terminal or pipe of the caller")
    ] = False

    def __post_init__(self) -> None:
        """Refuse addresses at which no one would be reached."""
        _ = self.hosts

    @property
    def hosts(self) -> Hosts:
        """Where the programs listen and are reached."""
        return Hosts(bind=self.bind_host, advertised=self.advertised_host)


def main(argv: list[str] | None = None) -> int:
    take_no_arguments("supervisor", "Run the whole stack on this machine.", argv)
    return run_program("supervisor", _supervise, drain_seconds=_DRAIN_SECONDS)


def gather_settings(environ: MutableMapping[str, str]) -> SupervisorSettings:
    """Load the settings and take the short names out of the environment that programs inherit.

    ROLLBOOK_DATA_DIR, ROLLBOOK_CLICKHOUSE_URL and ROLLBOOK_KAFKA_… (the fields of a KafkaConnection)
    are what people set. All but the first begin with the prefixes of programs, which refuse names they do not know.
    """
    of_kafka = dict.fromkeys(f"KAFKA_{name.upper()}" for name in KafkaConnection.__struct_fields__)
    short = {"DATA_DIR": "./rollbook-data", "CLICKHOUSE_URL": None, **of_kafka}
    own = dict(environ)
    for name, default in short.items():
        value = environ.pop(f"ROLLBOOK_{name}", default)
        if value is not None:
            own.setdefault(PREFIX + name, value)
    if collector := environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        own.setdefault(f"{PREFIX}OTLP_ENDPOINT", collector)
    return load_settings(SupervisorSettings, PREFIX, own)


async def _supervise(stopping: asyncio.Event) -> None:
    settings = gather_settings(os.environ)
    data = open_data_directory(settings.data_dir)
    with exclusive(data):
        fixed = {
            "api": settings.api_port,
            "gateway": settings.gateway_port,
            "kafka": settings.kafka_port,
            "clickhouse": settings.clickhouse_port,
        }
        require_own(settings.bind_host)
        regions = settled_regions(data, settings.regions)
        ports = assign_ports(data.run / "ports.json", wanted_ports(fixed, regions=regions, hosts=settings.hosts))
        neighbours = Neighbours(
            kafka=settings.kafka,
            clickhouse_url=settings.clickhouse_url,
            otlp_endpoint=settings.otlp_endpoint,
        )
        plan = rollbook_stack(
            data,
            ports,
            neighbours,
            clickhouse_password=clickhouse_password(data),
            regions=regions,
            hosts=settings.hosts,
        )
        log = LogFile(data.logs / "supervisor.log") if settings.detached else None
        if log is not None:
            _write_to(log)
        _log.info("stack_starting", data_dir=str(data.root), ports=ports)
        await StackRunner(data, plan, own_log=log).run(stopping)


def _write_to(log: LogFile) -> None:
    """Send all output to the log, so that a pipe of whoever started the stack can end before the stack does."""
    handle = log.open()
    try:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(handle, stream.fileno())
    finally:
        os.close(handle)
