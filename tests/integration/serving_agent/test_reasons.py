"""What is told of an engine that fails where the failure alone explains nothing: the end of its log."""

import hashlib
import json
import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec
import psutil
import pytest

from schemas.events.endpoints import DeploymentAdded
from schemas.events.registry import Artifact
from tests.integration.serving_agent.conftest import AgentHarness, Command, eventually
from tests.support.digits import served, trained
from tests.support.process_memory import spoil

ANNOUNCE = "/v1/instances"
FAIL = "/v1/instances/[^/]+/fail"
WITHDRAW = "/v1/instances/[^/]+/withdraw"
LAST_WORDS = r"; its log engine-\S+\.log ends with: \S.*"


class Outside(ThreadingHTTPServer):
    """A server of others that is ready, and fails when it is asked for a prediction."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.when_asked: Callable[[], None] = lambda: None
        self.health = 200


class _Handler(BaseHTTPRequestHandler):
    server: Outside

    def do_GET(self) -> None:
        self._answer(self.server.health, {})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.server.when_asked()
        self._answer(500, {"error": "sorry"})

    def log_message(self, *_: object) -> None:
        """Keep standard error to the agent."""

    def _answer(self, status: int, content: dict[str, str]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        with suppress(BrokenPipeError):
            self.wfile.write(body)


@pytest.fixture
def outside() -> Iterator[Outside]:
    with Outside() as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.05,))
        serving.start()
        yield server
        server.shutdown()
        serving.join()


def external(harness: AgentHarness, outside: Outside, *, protocol: str = "oip") -> DeploymentAdded:
    """Want the model of a server outside, through our relay."""
    address = f"http://127.0.0.1:{outside.server_address[1]}"
    description = json.dumps({"protocol": protocol, "url": address, "model": "far"}).encode()
    digest = f"sha256:{hashlib.sha256(description).hexdigest()}"
    harness.control_plane.artifacts[digest] = description
    artifact = Artifact(digest=digest, size_bytes=len(description), format="external")
    return msgspec.structs.replace(harness.deployment("a", served("onnx")), artifact=artifact)


def is_running(pid: int) -> bool:
    return psutil.pid_exists(pid) and bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)


def told(harness: AgentHarness, path: str) -> Command:
    eventually(lambda: bool(harness.control_plane.told(path)), what=path, log=harness.log)
    return harness.control_plane.told(path)[0]


def test_an_engine_that_fails_at_its_golden_input_is_quoted(harness: AgentHarness, outside: Outside) -> None:
    harness.want(external(harness, outside))

    harness.start(EXTERNAL_NETWORKS="127.0.0.0/8")

    failure = told(harness, FAIL)
    assert failure.body["code"] == "golden-answer-wrong"
    assert re.fullmatch(r"the engine answered 50\d: .*" + LAST_WORDS, failure.body["reason"]), failure


def test_an_engine_that_ends_at_its_golden_input_is_quoted(harness: AgentHarness, outside: Outside) -> None:
    def kill_who_asks() -> None:
        for record in harness.records():
            with suppress(ProcessLookupError):
                os.kill(record["pid"], signal.SIGKILL)

    outside.when_asked = kill_who_asks
    harness.want(external(harness, outside))

    harness.start(EXTERNAL_NETWORKS="127.0.0.0/8")

    failure = told(harness, FAIL)
    assert failure.body["code"] == "engine-died"
    assert re.fullmatch(r"the golden input was not answered: .*" + LAST_WORDS, failure.body["reason"]), failure


def test_an_engine_whose_computing_part_ends_at_its_golden_input_may_serve_later(
    harness: AgentHarness, outside: Outside
) -> None:
    def die() -> None:
        outside.health = 503

    outside.when_asked = die
    harness.want(external(harness, outside, protocol="openai"))

    harness.start(EXTERNAL_NETWORKS="127.0.0.0/8")

    eventually(lambda: '"event": "instance_restarts"' in harness.log(), what="another start", log=harness.log)
    assert re.search(r'"code": "engine-died", "reason": "the engine answered 500: .*' + LAST_WORDS, harness.log())
    assert not harness.control_plane.told(FAIL)


def test_a_server_at_a_private_address_is_served_once_its_host_grants_it(
    harness: AgentHarness, outside: Outside
) -> None:
    harness.want(msgspec.structs.replace(external(harness, outside), golden=None))

    harness.start()
    failure = told(harness, FAIL)
    assert harness.stop() == 0
    harness.start(EXTERNAL_NETWORKS="127.0.0.0/8")

    assert failure.body["code"] == "address-not-granted"
    assert failure.body["reason"].endswith("with ROLLBOOK_AGENT_EXTERNAL_NETWORKS=127.0.0.1"), failure
    told(harness, ANNOUNCE)


def test_an_engine_that_is_gone_when_the_agent_comes_back_is_quoted(harness: AgentHarness) -> None:
    harness.want(harness.deployment("a", served("onnx")))
    harness.start()
    told(harness, ANNOUNCE)

    harness.kill()
    (record,) = harness.records()
    os.kill(record["pid"], signal.SIGKILL)
    eventually(lambda: not is_running(record["pid"]), what="its end", log=harness.log)
    harness.start()

    reason = told(harness, WITHDRAW).body["reason"]
    assert re.fullmatch("the engine was gone when the agent restarted" + LAST_WORDS, reason), reason


def test_an_engine_that_is_ended_when_the_agent_comes_back_is_told_with_its_fault(harness: AgentHarness) -> None:
    harness.want(harness.deployment("a", served("skops")))
    harness.start(PROBE_INTERVAL_S="60")
    told(harness, ANNOUNCE)
    (record,) = harness.records()
    weights = trained()[-1].coef_

    harness.kill()
    assert spoil(record["pid"], content=weights.tobytes("A"), replacement=(-weights).tobytes("A"))
    harness.start()

    reason = told(harness, WITHDRAW).body["reason"]
    assert reason.startswith("when the agent restarted, output 'label' should be"), reason
    assert not is_running(record["pid"])
