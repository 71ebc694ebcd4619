"""A real Kafka node, a control plane of a few routes, and the agent as a process of its own."""

import asyncio
import json
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer

from infra.kafka.clients import producer
from infra.launch import launched
from schemas.documents.records import Removed, StateRecord
from schemas.events.endpoints import DeploymentAdded, VersionReference
from schemas.events.registry import Artifact
from schemas.observations import BatchHeaders, batch_headers
from schemas.topics import OBSERVATIONS, SERVING_STATE, TOPICS
from tests.support.digits import SIGNATURE, Served
from tests.support.documents import message_of
from tests.support.kafka_node import Node, make_anew, running_node
from tests.support.routing import Log, created

DEADLINE_S = 180


@pytest.fixture(scope="package")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with running_node(tmp_path_factory.mktemp("kafka"), topics=TOPICS) as node:
        yield node


def eventually(holds: Callable[[], bool], *, what: str, log: Callable[[], str] = str) -> None:
    """Ask until it holds."""
    deadline = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < deadline, f"in {DEADLINE_S} s there was no {what}\n{log()}"
        time.sleep(0.05)


class Command(msgspec.Struct, frozen=True):
    """A command as the control plane received it."""

    path: str
    body: dict[str, Any]
    key: str


class ControlPlaneDouble:
    """Answers the agent as the contract says; keeps what it was told."""

    def __init__(self) -> None:
        self.artifacts: dict[str, bytes] = {}
        self.commands: list[Command] = []
        self.refuse_next = 0
        self.cut_next_download_at: int | None = None
        self.ranges: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def told(self, pattern: str) -> list[Command]:
        """Return the commands whose path fits."""
        return [command for command in list(self.commands) if re.fullmatch(pattern, command.path)]

    def take(self, command: Command) -> int:
        self.commands.append(command)
        if self.refuse_next:
            self.refuse_next -= 1
            return 503
        return 201 if command.path == "/v1/instances" else 200


def _handler(double: ControlPlaneDouble) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_arguments: object) -> None:
            return

        def do_GET(self) -> None:
            assert self.headers["authorization"] == "Bearer rb_secret"
            self._artifact(double.artifacts[self.path.removeprefix("/v1/artifacts/")])

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            self._answer(double.take(Command(self.path, body, self.headers["idempotency-key"])), b"{}")

        def _artifact(self, content: bytes) -> None:
            first = self.headers["range"]
            double.ranges.append(first or "")
            content = content[int(first.removeprefix("bytes=").removesuffix("-")) :] if first else content
            self._answer(206 if first else 200, content)

        def _answer(self, status: int, content: bytes) -> None:
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            cut, is_download = double.cut_next_download_at, self.path.startswith("/v1/artifacts/")
            if is_download and cut is not None:
                double.cut_next_download_at = None
                self.wfile.write(content[:cut])
                self.close_connection = True
                return
            self.wfile.write(content)

    return Handler


class AgentHarness:
    """One agent's directory, and the process that may be killed and started again on it."""

    def __init__(self, root: Path, *, node: Node, control_plane: ControlPlaneDouble) -> None:
        self.root = root
        self.node = node
        self.control_plane = control_plane
        self.directory = root / "data" / "agent" / "local"
        self.process: subprocess.Popen[bytes] | None = None
        self._log = Log()
        self._endpoints: set[str] = set()
        (root / "data").mkdir()
        (root / "token").write_text("rb_secret\n")

    def start(self, **more: str) -> None:
        self.begin(**more)
        eventually((self.root / "ready").exists, what="ready agent", log=self.log)

    def begin(self, **more: str) -> None:
        """Start the process, and do not wait."""
        settings = {
            "DATA_DIR": str(self.root / "data"),
            "API_URL": self.control_plane.url,
            "TOKEN_FILE": str(self.root / "token"),
            "KAFKA_BOOTSTRAP": self.node.bootstrap,
            "READY_FILE": str(self.root / "ready"),
            "SUPERVISOR_PID": str(os.getpid()),
            # Few of these tests serve a model of scikit-learn.
            "PRELOAD_LIBRARIES": "false",
            **more,
        }
        environ = {**os.environ, **{f"ROLLBOOK_AGENT_{name}": value for name, value in settings.items()}}
        # Compiling every module again takes most of a start.
        environ.pop("PYTHONDONTWRITEBYTECODE", None)
        with (self.root / "agent.log").open("ab") as log:
            self.process = subprocess.Popen(launched("agent"), env=environ, stdout=log, stderr=log)

    def log(self) -> str:
        return (self.root / "agent.log").read_text()

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(60)

    def clean_up(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()
        for record in self.records():
            if record["pid"]:
                try:
                    os.kill(record["pid"], signal.SIGKILL)
                except ProcessLookupError:
                    continue

    def records(self) -> list[dict[str, Any]]:
        path = self.directory / "instances.json"
        found: list[dict[str, Any]] = json.loads(path.read_text()) if path.exists() else []
        return found

    def deployment(self, name: str, model: Served, *, content: bytes | None = None) -> DeploymentAdded:
        """Put a model where the agent can fetch it, and return the fact that it is wanted."""
        self.control_plane.artifacts[model.artifact.digest] = model.content if content is None else content
        return DeploymentAdded(
            deployment_id=f"deployment-{name}",
            version=VersionReference(version_id=f"version-{name}", model_name="digits", number=1),
            artifact=Artifact(
                digest=model.artifact.digest,
                size_bytes=model.artifact.size_bytes,
                format=model.artifact.format,
            ),
            signature=SIGNATURE,
            golden=model.golden,
            replicas=1,
        )

    def want(self, added: DeploymentAdded, *, endpoint_id: str = "endpoint-1", workspace: str = "default") -> None:
        """Publish that a deployment is wanted, from a test that is no coroutine or one that is."""
        publishing = self.publish(added, stream=endpoint_id, workspace=workspace)
        thread = threading.Thread(target=asyncio.run, args=(publishing,))
        thread.start()
        thread.join()

    async def publish(self, event: msgspec.Struct, *, stream: str = "endpoint-1", workspace: str = "default") -> None:
        """Publish the documents of an event as the relay does; an endpoint is created with its first one."""
        records: list[StateRecord | Removed] = []
        if stream.startswith("endpoint-") and stream not in self._endpoints:
            self._endpoints.add(stream)
            name = stream.replace("endpoint-1", "digits")
            records += self._log.append(stream, created(name), workspace=workspace).records
        records += self._log.append(stream, event, workspace=workspace).records
        sender = producer(self.node.connection, client_id="test")
        await sender.start()
        try:
            for record in records:
                await sender.send_and_wait(SERVING_STATE.name, key=record.id.encode(), **message_of(record))
        finally:
            await sender.stop()


@pytest.fixture
def harness(tmp_path: Path, node: Node) -> Iterator[AgentHarness]:
    asyncio.run(make_anew(node, SERVING_STATE))
    control_plane = ControlPlaneDouble()
    control_plane.start()
    running = AgentHarness(tmp_path, node=node, control_plane=control_plane)
    try:
        yield running
    finally:
        running.clean_up()
        control_plane.stop()


async def batches_until_closing(node: Node, source: str) -> list[tuple[BatchHeaders, bytes]]:
    """Read what a source shipped, from its first batch to its closing one."""
    consumer = AIOKafkaConsumer(OBSERVATIONS.name, bootstrap_servers=node.bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    found: list[tuple[BatchHeaders, bytes]] = []
    try:
        async with asyncio.timeout(DEADLINE_S):
            async for record in consumer:
                headers = batch_headers(list(record.headers))
                if headers.source == source:
                    found.append((headers, record.value))
                    if headers.state == "closing":
                        return found
    finally:
        await consumer.stop()
    return found
