"""Engines of language models that die or are read slowly, through the whole stack. They replay tokens of vLLM."""

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from benchmarks.replaying_engine import SIGNATURE, Replay, Token, golden, write_model
from rollbook import Rollbook
from rollbook.resources import Deployment
from tests.support.eventually import eventually
from tests.support.plain_http import NO_AUTHORITIES
from tests.support.stack import RunningStack

PATH = "/v1/completions"
STREAMS = 12
SERVES_WITHIN_S = 120


class Stream(threading.Thread):
    """One caller who reads a stream to its end."""

    def __init__(self, gateway: httpx.Client, body: dict[str, object]) -> None:
        super().__init__(daemon=True)
        self._gateway, self._body = gateway, body
        self.has_begun = threading.Event()
        self.prediction_id = ""
        self.lines: list[str] = []
        self.is_broken = False

    def run(self) -> None:
        try:
            with self._gateway.stream("POST", PATH, json=self._body) as answer:
                self.prediction_id = answer.headers.get("x-prediction-id", "")
                for line in answer.iter_lines():
                    self.lines.append(line)
                    self.has_begun.set()
        except httpx.TransportError:
            self.is_broken = True
        finally:
            self.has_begun.set()

    @property
    def is_whole(self) -> bool:
        return [line for line in self.lines if line][-1:] == ["data: [DONE]"]


@pytest.fixture
def gateway(stack: RunningStack, rollbook: Rollbook) -> Iterator[httpx.Client]:
    headers = {"authorization": f"Bearer {rollbook.inference_tokens.mint(['*']).token}"}
    limits = httpx.Limits(max_connections=2 * STREAMS)
    with httpx.Client(
        base_url=stack.gateway_url, headers=headers, timeout=180, limits=limits, verify=NO_AUTHORITIES
    ) as client:
        yield client


def serve(rollbook: Rollbook, name: str, replay: Replay, folder: Path, *, replicas: int = 1) -> Deployment:
    """Serve a model that replays, and return the deployment once all its instances are there."""
    rollbook.models.register(name)
    directory = write_model(folder / "model", replay)
    version = rollbook.versions.register(name, directory, signature=SIGNATURE, golden=golden(replay))
    rollbook.endpoints.create(name, version=version.reference, replicas=replicas)
    eventually(lambda: len(deployed(rollbook, name).instances) == replicas, "all there", within_s=SERVES_WITHIN_S)
    return deployed(rollbook, name)


def deployed(rollbook: Rollbook, name: str) -> Deployment:
    (deployment,) = rollbook.endpoints.get(name).deployments
    return deployment


def until_served(gateway: httpx.Client, name: str) -> None:
    eventually(lambda: ask(gateway, name).is_success, "the gateway sends calls there", within_s=SERVES_WITHIN_S)


def ask(gateway: httpx.Client, name: str, *, prompt: str = "Return") -> httpx.Response:
    return gateway.post(PATH, json={"model": name, "prompt": prompt, "max_tokens": 2})


def identity_of(port: int) -> dict[str, Any]:
    identity: dict[str, Any] = httpx.get(
        f"http://127.0.0.1:{port}/rollbook/instance", timeout=180, verify=NO_AUTHORITIES
    ).json()
    return identity


def asked_each(gateway: httpx.Client, name: str, ports: list[int]) -> bool:
    """Return whether calls of ours are in progress at each engine at a time."""
    body: dict[str, object] = {"model": name, "prompt": "Return", "max_tokens": 20, "stream": True}
    streams = [Stream(gateway, body) for _ in range(STREAMS)]
    for stream in streams:
        stream.start()
    for stream in streams:
        stream.has_begun.wait(60)
    # The golden inputs are in progress for a moment too.
    busy = [identity_of(port)["in_flight"] > 1 for port in ports]
    for stream in streams:
        stream.join(60)
    return all(busy)


def reasons(rollbook: Rollbook, prediction_ids: list[str]) -> dict[str, str]:
    """Return what the view says went wrong with requests."""
    sql = "SELECT prediction_id, error_class FROM request_records FINAL WHERE has({ids:Array(String)}, prediction_id)"
    return dict(rollbook.query(sql, {"ids": prediction_ids})["data"])


def test_an_engine_that_is_killed_in_mid_stream_breaks_its_own_streams_alone_and_each_is_on_record(
    rollbook: Rollbook, gateway: httpx.Client, name: str, tmp_path: Path
) -> None:
    replay = Replay(tokens=[Token(60.0, f" word{number}") for number in range(300)])
    deployment = serve(rollbook, name, replay, tmp_path, replicas=2)
    ports = [instance.port for instance in deployment.instances]
    eventually(lambda: asked_each(gateway, name, ports), "the gateway sends calls to both", within_s=SERVES_WITHIN_S)
    body: dict[str, object] = {"model": name, "prompt": "Return", "max_tokens": 300, "stream": True}
    streams = [Stream(gateway, body) for _ in range(STREAMS)]
    for stream in streams:
        stream.start()
    assert all(stream.has_begun.wait(60) for stream in streams)

    os.kill(int(identity_of(ports[0])["pid"]), signal.SIGKILL)
    during = [ask(gateway, name) for _ in range(40)]
    for stream in streams:
        stream.join(60)

    assert [answer.text for answer in during if not answer.is_success] == []
    broken = [stream.prediction_id for stream in streams if stream.is_broken]
    assert 0 < len(broken) < STREAMS
    assert all(stream.is_whole for stream in streams if not stream.is_broken)
    eventually(lambda: len(reasons(rollbook, broken)) == len(broken), "records of the broken streams", within_s=180)
    assert set(reasons(rollbook, broken).values()) == {"connection"}


def test_an_engine_that_dies_in_an_answer_is_started_again_and_costs_that_answer(
    rollbook: Rollbook, gateway: httpx.Client, name: str, tmp_path: Path
) -> None:
    replay = Replay(tokens=[Token(1.0, f" word{number}") for number in range(8)], dies_of="Die")
    deployment = serve(rollbook, name, replay, tmp_path)
    until_served(gateway, name)

    answer = ask(gateway, name, prompt="Die")

    # The gateway tries again, and may find by then that the instance has left.
    assert (answer.status_code, answer.json()["error"]["code"]) in {(503, "engine_lost"), (503, "no_instance_ready")}
    until_served(gateway, name)
    gone = rollbook.events(event_type="endpoints.InstanceWithdrawn.v1", limit=1_000)
    (told,) = [each.event["data"] for each in gone if each.event["data"]["deployment_id"] == deployment.id]
    assert "process ended" in told["reason"]


def test_a_caller_who_reads_slowly_holds_up_nobody_and_misses_nothing(
    rollbook: Rollbook, gateway: httpx.Client, name: str, tmp_path: Path
) -> None:
    # More than the buffers between engine and caller hold.
    replay = Replay(tokens=[Token(0.0, " It"), *[Token(0.0, "x" * 100_000)] * 199])
    serve(rollbook, name, replay, tmp_path)
    until_served(gateway, name)

    with gateway.stream("POST", PATH, json={"model": name, "prompt": "", "max_tokens": 200, "stream": True}) as answer:
        lines = answer.iter_lines()
        assert next(lines)
        others = [ask(gateway, name) for _ in range(20)]
        rest = [line for line in lines if line]

    assert {other.status_code for other in others} == {200}
    assert (len(rest), rest[-1]) == (200, "data: [DONE]")
