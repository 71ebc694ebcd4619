"""vLLM under load: a version is retired without a broken stream, and a caller who leaves gives the engine free."""

import json
import re
import threading
from collections.abc import Callable, Iterator

import httpx
import pytest

from rollbook import Rollbook
from rollbook.resources import Deployment
from tests.extras.conftest import SERVES_WITHIN_S, serve
from tests.extras.records import observed
from tests.support.eventually import eventually
from tests.support.stack import RunningStack

STREAMS, TOKENS = 8, 480
PATH = "/v1/completions"

pytestmark = pytest.mark.timeout(1_500)


class Stream(threading.Thread):
    """One caller who reads a long stream to its end."""

    def __init__(self, url: str, token: str) -> None:
        super().__init__(daemon=True)
        self._url, self._token = url, token
        self.has_begun = threading.Event()
        self.deployment = ""
        self.events: list[str] = []
        self.error = ""

    def run(self) -> None:
        try:
            with httpx.stream(
                "POST",
                self._url + PATH,
                json=long_stream("drained"),
                headers={"authorization": f"Bearer {self._token}"},
                timeout=600,
            ) as answer:
                self.deployment = answer.headers["x-rollbook-deployment"]
                for line in answer.iter_lines():
                    if line:
                        self.events.append(line.removeprefix("data: "))
                        self.has_begun.set()
        except httpx.HTTPError as error:
            self.error = repr(error)
        finally:
            self.has_begun.set()

    @property
    def tokens(self) -> int:
        usage = json.loads(self.events[-2])["usage"]
        return int(usage["completion_tokens"])


def long_stream(model: str) -> dict[str, object]:
    options = {"stream": True, "stream_options": {"include_usage": True}, "ignore_eos": True}
    return {"model": model, "prompt": "It is", "max_tokens": TOKENS, "temperature": 0, **options}


@pytest.fixture(scope="module")
def first(rollbook: Rollbook, story: str) -> str:
    """Serve the story's version at an endpoint of its own."""
    assert story
    return serve(rollbook, "drained", "story/1")


@pytest.fixture
def token(rollbook: Rollbook) -> str:
    return rollbook.inference_tokens.mint(["drained"]).token


@pytest.fixture
def gateway(stack: RunningStack, token: str) -> Iterator[httpx.Client]:
    headers = {"authorization": f"Bearer {token}"}
    with httpx.Client(base_url=stack.gateway_url, headers=headers, timeout=180) as client:
        yield client


def deployed(rollbook: Rollbook, deployment_id: str) -> Deployment:
    return next(each for each in rollbook.endpoints.get("drained").deployments if each.id == deployment_id)


def tokens_written(port: int) -> float:
    """Ask vLLM itself how many tokens it has made."""
    text = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=180).text
    values = re.findall(r"^vllm:generation_tokens_total{[^}]*} (\S+)$", text, re.MULTILINE)
    assert values
    return sum(map(float, values))


def is_gone(port: int) -> Callable[[], bool]:
    def asked() -> bool:
        try:
            httpx.get(f"http://127.0.0.1:{port}/health", timeout=2)
        except httpx.TransportError:
            return True
        return False

    return asked


def test_a_caller_who_leaves_in_mid_stream_gives_the_engine_free(
    gateway: httpx.Client, stack: RunningStack, rollbook: Rollbook, first: str
) -> None:
    assert first
    serving = rollbook.endpoints.get("drained").allocations[0].deployment_id
    port = deployed(rollbook, serving).instances[0].port
    before = tokens_written(port)

    with gateway.stream("POST", PATH, json=long_stream("drained")) as left:
        assert next(line for line in left.iter_lines() if line)
    looks = [before]

    def is_idle() -> bool:
        looks.append(tokens_written(port))
        return looks[-1] == looks[-2] > before

    eventually(is_idle, "the engine writes nothing", within_s=300, poll_s=0.5)
    # Golden inputs are asked every two seconds and take some tokens too.
    assert looks[-1] - before < TOKENS
    seen = observed(stack, left.headers["x-prediction-id"])
    assert (seen["status"], seen["finish_reason"]) == (499, "disconnected")


def test_streams_under_way_end_whole_when_their_version_is_retired(
    gateway: httpx.Client, stack: RunningStack, rollbook: Rollbook, first: str, token: str
) -> None:
    port = deployed(rollbook, first).instances[0].port
    second = rollbook.endpoints.deploy("drained", "story/1").id
    eventually(
        lambda: deployed(rollbook, second).state == "ready", "a second engine is there", within_s=SERVES_WITHIN_S
    )
    streams = [Stream(stack.gateway_url, token) for _ in range(STREAMS)]
    for stream in streams:
        stream.start()
    assert all(stream.has_begun.wait(60) for stream in streams)

    rollbook.endpoints.set_traffic("drained", {second: 100.0}, reason="the first is retired")
    rollbook.endpoints.remove_deployment("drained", first, reason="retired")
    assert any(stream.is_alive() for stream in streams), "the streams were over before the engine was asked to stop"
    during = [gateway.post(PATH, json={"model": "drained", "prompt": "It is", "max_tokens": 4}) for _ in range(20)]
    for stream in streams:
        stream.join(240)

    assert [stream.error for stream in streams if stream.error] == []
    assert {stream.deployment for stream in streams} == {first}
    assert {stream.events[-1] for stream in streams} == {"[DONE]"}
    assert {stream.tokens for stream in streams} == {TOKENS}
    assert [answer.text for answer in during if answer.status_code != httpx.codes.OK] == []
    assert during[-1].headers["x-rollbook-deployment"] == second
    eventually(is_gone(port), "the retired engine has ended", within_s=300)
