"""Servers that already run: the same rollouts, gates, shadows, failover and records as of engines of ours."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from infra.clickhouse.client import connect
from rollbook import Rollbook
from rollbook.resources import FailoverPolicy, Rollout
from tests.extras.conftest import SIGNATURE, serve
from tests.support.digits_service import canary
from tests.support.eventually import eventually
from tests.support.stack import RunningStack

GATES: list[dict[str, Any]] = [{"kind": "error_rate", "max_increase": 0.05, "min_requests": 50}]
PAUSE_S = 0.01

pytestmark = pytest.mark.timeout(1_500)


class _Handler(BaseHTTPRequestHandler):
    """A server of three models, of which one is ill."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_arguments: object) -> None:
        return

    def do_GET(self) -> None:
        self._answer(200, {"object": "list", "data": []})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if asked["model"] == "ill":
            self._answer(500, {"error": {"message": "out of order"}})
        else:
            self._answer(200, {"object": "text_completion", "choices": [{"index": 0, "text": asked["model"]}]})

    def _answer(self, status: int, document: dict[str, Any]) -> None:
        content = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


class _Listening(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.connections: set[socket.socket] = set()

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - as the base has it
        self.connections.add(request)
        super().process_request(request, client_address)

    def handle_error(self, _request: Any, _client_address: Any) -> None:  # noqa: ANN401 - as the base has it
        """Callers leave, and this server is taken away; neither is an error."""


class Server:
    """A server that can be taken away, with the connections it has, and put back at the same address."""

    def __init__(self) -> None:
        self._running: _Listening | None = None
        self._port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        self._running = _Listening(self._port)
        self._port = self._running.server_port
        threading.Thread(target=self._running.serve_forever, daemon=True).start()

    def stop(self) -> None:
        if self._running is None:
            return
        self._running.shutdown()
        self._running.server_close()
        for connection in self._running.connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._running = None


@contextmanager
def running_server() -> Iterator[Server]:
    server = Server()
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with running_server() as running:
        yield running.url


@pytest.fixture(scope="module")
def endpoint(rollbook: Rollbook, server: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Serve the first of three versions: well, ill, well again."""
    rollbook.models.register("far")
    folder = tmp_path_factory.mktemp("far")
    for model in ("first", "ill", "third"):
        description = folder / f"{model}.json"
        description.write_text(json.dumps({"protocol": "openai", "url": server, "model": model}))
        rollbook.versions.register("far", description, signature=SIGNATURE, artifact_format="external")
    serve(rollbook, "far", "far/1")
    return "far"


@contextmanager
def traffic(stack: RunningStack, rollbook: Rollbook, endpoint: str) -> Iterator[list[tuple[int, str]]]:
    """Complete texts all the while, each for another user; yields the status and the version of each answer."""
    answers: list[tuple[int, str]] = []
    headers = {"authorization": f"Bearer {rollbook.inference_tokens.mint([endpoint]).token}"}
    stopping = threading.Event()

    def call(caller: int) -> None:
        with httpx.Client(base_url=stack.gateway_url, headers=headers, timeout=180) as client:
            number = 0
            while not stopping.wait(PAUSE_S):
                number += 1
                key = {"x-rollbook-key": f"user-{caller}-{number}"}
                answer = client.post("/v1/completions", json={"model": endpoint, "prompt": "x"}, headers=key)
                answers.append((answer.status_code, answer.headers.get("x-rollbook-version", "")))

    threads = [threading.Thread(target=call, args=(caller,)) for caller in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        stopping.set()
        for thread in threads:
            thread.join()


def rolled_out(rollbook: Rollbook, endpoint: str, version: str) -> Rollout:
    strategy = canary(50, step_ms=2_000, bake_ms=2_000)
    started = rollbook.rollouts.start(endpoint, version, strategy=strategy, gates=GATES)

    def over() -> Rollout | None:
        seen = rollbook.rollouts.get(started.id)
        return seen if seen.is_over else None

    ended = eventually(over, f"{version} is rolled out or not", within_s=300, poll_s=0.25)
    assert ended is not None
    return ended


def test_a_server_that_fails_is_rolled_back_and_one_that_works_is_promoted(
    stack: RunningStack, rollbook: Rollbook, endpoint: str
) -> None:
    with traffic(stack, rollbook, endpoint):
        ill = rolled_out(rollbook, endpoint, "far/2")
        well = rolled_out(rollbook, endpoint, "far/3")

    assert ill.phase == "aborted", ill
    assert "error" in ill.reason
    assert well.phase == "completed", well
    headers = {"authorization": f"Bearer {rollbook.inference_tokens.mint([endpoint]).token}"}
    answer = httpx.post(
        f"{stack.gateway_url}/v1/completions", json={"model": endpoint, "prompt": "x"}, headers=headers, timeout=180
    )
    assert answer.json()["choices"][0]["text"] == "third"
    assert answer.headers["x-rollbook-version"] == "far/3"


def records_of(stack: RunningStack, prediction_id: str) -> dict[str, tuple[str, int]]:
    """Return the version and the status of a request's records, by their role."""
    client = connect(stack.clickhouse_url)
    try:
        statement = "SELECT role, version, status FROM request_records FINAL WHERE prediction_id = {id:String}"
        rows = client.query(statement, parameters={"id": prediction_id}).result_rows
    finally:
        client.close()
    return {role: (version, status) for role, version, status in rows}


def test_a_shadow_gets_copies_that_are_recorded_and_nobody_gets_its_answers(
    stack: RunningStack, rollbook: Rollbook, endpoint: str
) -> None:
    served = rollbook.endpoints.get(endpoint).allocations[0].deployment_id
    serving = next(each for each in rollbook.endpoints.get(endpoint).deployments if each.id == served).version
    rollbook.endpoints.set_shadow(endpoint, version="far/2", reason="how ill is it")
    headers = {"authorization": f"Bearer {rollbook.inference_tokens.mint([endpoint]).token}"}
    asked: list[str] = []

    def copied() -> dict[str, tuple[str, int]] | None:
        """Ask once more, as the first requests may come before the shadow is routed; look at all that were asked."""
        answer = httpx.post(
            f"{stack.gateway_url}/v1/completions", json={"model": endpoint, "prompt": "x"}, headers=headers, timeout=180
        )
        assert (answer.status_code, answer.headers["x-rollbook-version"]) == (200, serving)
        asked.append(answer.headers["x-prediction-id"])
        return next(
            (seen for seen in map(partial(records_of, stack), asked) if seen.keys() >= {"primary", "shadow"}), None
        )

    try:
        seen = eventually(copied, "a request and its copy are on record", within_s=300, poll_s=0.5)
    finally:
        rollbook.endpoints.remove_shadow(endpoint, reason="seen")

    assert seen == {"primary": (serving, 200), "shadow": ("far/2", 500)}


def states(rollbook: Rollbook, endpoint: str) -> set[str]:
    return {each.state for each in rollbook.endpoints.get(endpoint).deployments}


def test_the_backup_answers_while_the_server_is_gone(
    stack: RunningStack, rollbook: Rollbook, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("pair")
    rollbook.models.register("pair")
    with running_server() as steady, running_server() as doomed:
        for url in (doomed.url, steady.url):
            description = folder / "server.json"
            description.write_text(json.dumps({"protocol": "openai", "url": url, "model": "any"}))
            rollbook.versions.register("pair", description, signature=SIGNATURE, artifact_format="external")
        serve(rollbook, "pair", "pair/1")
        backup = rollbook.endpoints.deploy("pair", "pair/2").id
        rollbook.endpoints.set_failover_policy("pair", FailoverPolicy(backup_deployment_id=backup), reason="test")
        eventually(lambda: states(rollbook, "pair") == {"ready"}, "the backup is there", within_s=300)

        with traffic(stack, rollbook, "pair") as answers:
            eventually(lambda: (200, "pair/1") in answers, "answers of the server", within_s=300)
            doomed.stop()
            eventually(lambda: (200, "pair/2") in answers, "answers of the backup", within_s=300)
            doomed.start()
            gone = len(answers)
            eventually(lambda: (200, "pair/1") in answers[gone:], "the server is back", within_s=300)

    assert {status for status, _ in answers} == {200}
