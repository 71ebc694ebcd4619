"""The program ``kafka``: one Apache Kafka node, broker and controller.

An acknowledged record survives ``kill -9`` of the node: it is in the kernel's page
cache, which belongs to no process. It may not survive a power cut, as on any single
broker; who publishes compares the topic's tail with its own store and publishes again.
"""

import os
import secrets
import subprocess
import time
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, NoReturn

import msgspec
import structlog

from infra.arguments import take_no_arguments
from infra.data_directory import write_atomically
from infra.errors import EXIT_CANNOT_START, CannotStartError
from infra.kafka.class_archive import class_archive
from infra.kafka.distribution import install_jars
from infra.kafka.java import find_java
from infra.launch import LAUNCHED_BY, launched_command
from infra.logs import configure_logs
from infra.ports import free_ports, is_free, require_free
from infra.settings import load_settings

PREFIX = "ROLLBOOK_KAFKA_"
_FORMAT_TIMEOUT_SECONDS = 60
_READY_TIMEOUT_SECONDS = 60
_EXIT_TIMEOUT_SECONDS = 60
_POLL_SECONDS = 0.05
_log = structlog.get_logger(__name__)

Port = Annotated[int, msgspec.Meta(ge=1, le=65_535)]


# What a node asks of itself it asks no one for: the controller has no user, and must not be reached from elsewhere.
_ITSELF = "127.0.0.1"


class KafkaSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the node needs to know."""

    host: Annotated[str, msgspec.Meta(description="the address to listen on")]
    port: Annotated[Port, msgspec.Meta(description="the port that clients connect to")]
    controller_port: Annotated[Port, msgspec.Meta(description="the port of the node's controller")]
    data_dir: Annotated[Path, msgspec.Meta(description="the folder for the node's log and metadata")]
    advertised_host: Annotated[
        str | None, msgspec.Meta(description="the address advertised to clients; defaults to the one it listens on")
    ] = None
    heap_mib: Annotated[int, msgspec.Meta(ge=128, description="Java's maximum heap size")] = 512


def server_properties(settings: KafkaSettings) -> str:
    """Write the configuration of a single node that is small, local and loses nothing it acknowledged."""
    advertised = settings.advertised_host or settings.host
    lines = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.quorum.voters": f"1@{_ITSELF}:{settings.controller_port}",
        "listeners": f"PLAINTEXT://{settings.host}:{settings.port},CONTROLLER://{_ITSELF}:{settings.controller_port}",
        "advertised.listeners": f"PLAINTEXT://{advertised}:{settings.port}",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": settings.data_dir / "log",
        **_FOR_ONE_NODE,
        **_SMALL,
    }
    return "".join(f"{name}={value}\n" for name, value in lines.items())


_FOR_ONE_NODE = {
    "auto.create.topics.enable": "false",
    "offsets.topic.replication.factor": 1,
    "transaction.state.log.replication.factor": 1,
    "transaction.state.log.min.isr": 1,
    "share.coordinator.state.topic.replication.factor": 1,
    "share.coordinator.state.topic.min.isr": 1,
    "group.initial.rebalance.delay.ms": 0,
    # A node that was killed comes back at once; its old session must not keep it out for the default 9 s.
    "broker.session.timeout.ms": 2000,
    "broker.heartbeat.interval.ms": 400,
}
_SMALL = {
    "offsets.topic.num.partitions": 4,
    "transaction.state.log.num.partitions": 4,
    "share.coordinator.state.topic.num.partitions": 4,
    "num.network.threads": 2,
    "num.io.threads": 4,
    "background.threads": 2,
    "log.cleaner.dedupe.buffer.size": 8_388_608,
    "log.segment.bytes": 134_217_728,
    "message.max.bytes": 8_388_608,
    "replica.fetch.max.bytes": 8_388_608,
}


def main(argv: list[str] | None = None) -> int:
    """Format the storage when it is new, then become the Java process.

    The process is replaced rather than watched: signals, the death of the parent and
    the exit code need no forwarding, and one process less stays in memory.
    """
    take_no_arguments("kafka", "Run one Kafka node.", argv)
    configure_logs("kafka")
    try:
        run_node(load_settings(KafkaSettings, PREFIX, os.environ), os.environ)
    except CannotStartError as error:
        _log.error("cannot_start", reason=str(error))
        return EXIT_CANNOT_START


def run_node(settings: KafkaSettings, environ: Mapping[str, str]) -> NoReturn:
    for port, purpose in ((settings.port, "Kafka"), (settings.controller_port, "Kafka's controller")):
        require_free(port, purpose=purpose, host=settings.host)
    java, jars = find_java(environ), install_jars(environ)
    archive = class_archive(java, jars, lambda options, folder: _run_once(java, jars, options, folder))
    base = _command(java, jars, settings, archive)
    properties = _prepare_folder(base, settings)
    _log.info("kafka_starting", port=settings.port, java=str(java))
    os.execve(java, [*base, "kafka.Kafka", str(properties)], dict(environ))  # noqa: S606 - no shell is wanted


def _command(java: Path, jars: Path, settings: KafkaSettings, options: Sequence[str]) -> list[str]:
    return [str(java), *_java_options(settings), *options, "-cp", f"{jars}/*"]


def _prepare_folder(base: list[str], settings: KafkaSettings) -> Path:
    properties = settings.data_dir / "server.properties"
    try:
        (settings.data_dir / "log").mkdir(parents=True, exist_ok=True)
        write_atomically(properties, server_properties(settings).encode())
    except OSError as error:
        raise CannotStartError(
            f"Kafka's folder {settings.data_dir} cannot be written ({error.strerror}); check its permissions and "
            "the disk"
        ) from error
    if not (settings.data_dir / "log" / "meta.properties").exists():
        _format(base, properties)
    return properties


def _run_once(java: Path, jars: Path, options: Sequence[str], folder: Path) -> None:
    """Run a node of no one until it is ready, then end it as the system asks programs to end."""
    port, controller_port = free_ports(2)
    settings = KafkaSettings(host=_ITSELF, port=port, controller_port=controller_port, data_dir=folder)
    properties = _prepare_folder(_command(java, jars, settings, ()), settings)
    node = subprocess.Popen(
        launched_command(*_command(java, jars, settings, options), "kafka.Kafka", str(properties)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, LAUNCHED_BY: str(os.getpid())},
    )
    try:
        deadline = time.monotonic() + _READY_TIMEOUT_SECONDS
        while is_free(port, host=_ITSELF):
            if node.poll() is not None or time.monotonic() > deadline:
                raise TimeoutError(f"the node did not become ready (code {node.returncode})")
            time.sleep(_POLL_SECONDS)
        node.terminate()
        node.wait(_EXIT_TIMEOUT_SECONDS)
    finally:
        node.kill()


def _java_options(settings: KafkaSettings) -> list[str]:
    return [
        f"-Xms{min(256, settings.heap_mib)}m",
        f"-Xmx{settings.heap_mib}m",
        "-XX:+UseSerialGC",
        # The second compiler would take a core of a small machine just while everything starts.
        "-XX:TieredStopAtLevel=1",
        # A node without memory must die and be started again, not linger.
        "-XX:+ExitOnOutOfMemoryError",
        "-XX:-UsePerfData",
        "-Djava.awt.headless=true",
        f"-Dlog4j2.configurationFile={Path(__file__).with_name('log4j2.properties')}",
    ]


def _format(base: list[str], properties: Path) -> None:
    # The first byte is small, so the id never starts with a dash, which the tool takes for an option.
    cluster = urlsafe_b64encode(bytes([secrets.randbelow(128)]) + secrets.token_bytes(15)).rstrip(b"=").decode()
    tool = ["kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(properties)]
    done = subprocess.run(
        [*base, *tool, "--ignore-formatted"],
        capture_output=True,
        text=True,
        timeout=_FORMAT_TIMEOUT_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise CannotStartError(
            f"Kafka could not format its folder ({(done.stderr or done.stdout).strip()[-300:]}); "
            "check the disk, or move the folder away to start over"
        )
    _log.info("kafka_formatted", cluster=cluster)
