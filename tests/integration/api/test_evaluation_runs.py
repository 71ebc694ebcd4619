"""Evaluation runs against a server that answers as gateway and API do; the real ones are asked in the extras."""

import json
import math
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec
import pytest

from rollbook import Rollbook
from rollbook.evaluation import Evaluation, EvaluationCutShort, NotScored, ScoredPassage, evaluate

PASSAGES = ["ab", "abcd", "abcdefgh"]
LIKELIHOODS = {"prose@1": -1.0, "prose@2": -0.5, "prose": -1.0}
BOTH = ("novel/1", "novel/2")


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.lock = threading.Lock()
        self.asked: Counter[str] = Counter()
        self.feedback: list[dict[str, Any]] = []
        self.busy = 0
        self.max_length = 1_000
        self.scores = self.takes_feedback = self.says_who = True
        self.deadly = ""


class _Handler(BaseHTTPRequestHandler):
    """Each character is a token, and all tokens but the first are as likely as the version's table says."""

    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, *_arguments: object) -> None:
        return

    def do_GET(self) -> None:
        deployments = [
            {
                "id": f"deployment-{number}",
                "version": f"novel/{number}",
                "version_id": f"version-{number}",
                "state": "ready",
                "weight_percent": 50.0,
                "replicas": 1,
                "instances": [],
            }
            for number in (1, 2)
        ]
        named = {"id": "endpoint-1", "name": "prose", "description": "", "created_at": "2026-01-02T03:04:05.678Z"}
        traffic: dict[str, Any] = {
            "epoch": None,
            "allocations": [],
            "applied": [],
            "active_rollout_id": None,
            "stream_version": 1,
        }
        self._answer(200, {**named, **traffic, "deployments": deployments})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path == "/v1/feedback":
            if not self.server.takes_feedback:
                self._answer(400, {"title": "no", "status": 400, "code": "no", "detail": "no such name"})
                return
            with self.server.lock:
                self.server.feedback += body["items"]
            self._answer(202, {"accepted": len(body["items"])})
        elif self.path == "/v1/inference-tokens":
            self._answer(201, {"id": "1", "token": "t", "endpoints": ["prose"], "expires_at": "2026-01-01T00:00:00Z"})
        else:
            self._complete(body)

    def _complete(self, body: dict[str, Any]) -> None:
        assert (self.headers["authorization"], body["echo"], body["max_tokens"]) == ("Bearer t", True, 1)
        with self.server.lock:
            self.server.asked[body["model"]] += 1
            number = self.server.asked.total()
            is_busy, self.server.busy = self.server.busy > 0, self.server.busy - 1
        is_busy = is_busy or body["prompt"] == self.server.deadly
        if is_busy:
            self._answer(503, {"error": {"message": "no instance"}})
        elif len(body["prompt"]) > self.server.max_length:
            self._answer(400, {"error": {"message": "longer than the context"}})
        else:
            told = [None, *[LIKELIHOODS[body["model"]]] * (len(body["prompt"]) - 1), -9.0]
            logprobs = {"token_logprobs": told, "tokens": [*body["prompt"], "x"]}
            choice = {"text": "x", "logprobs": logprobs if self.server.scores else None}
            by = "novel/1" if body["model"].endswith("1") or (body["model"] == "prose" and number % 2) else "novel/2"
            document = {"choices": [choice], "usage": {"completion_tokens": 1}}
            who = {"x-prediction-id": f"p-{number}", "x-rollbook-version": by}
            self._answer(200, document, who if self.server.says_who else None)

    def _answer(self, status: int, document: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        content = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


@pytest.fixture
def server() -> Iterator[_Server]:
    with _Server() as server:
        serving = threading.Thread(target=server.serve_forever, daemon=True)
        serving.start()
        yield server
        server.shutdown()
        serving.join()


@pytest.fixture
def rollbook(server: _Server) -> Iterator[Rollbook]:
    with Rollbook(url_of(server), token="admin") as client:
        yield client


def url_of(server: _Server) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}"


def at(server: _Server, **changes: Any) -> Evaluation:  # noqa: ANN401 - any field
    return msgspec.structs.replace(Evaluation(gateway=url_of(server), endpoint="prose"), **changes)


def test_every_version_scores_every_passage_and_each_loss_is_feedback(server: _Server, rollbook: Rollbook) -> None:
    told: list[ScoredPassage] = []

    first, second = evaluate(rollbook, PASSAGES, at(server, versions=BOTH), tell=told.append)

    assert (first.version, first.passages, first.tokens, first.refused) == ("novel/1", 3, 11, 0)
    assert first.loss == pytest.approx(1.0)
    assert first.perplexity == pytest.approx(math.e)
    assert first.bits_per_byte == pytest.approx(1 / math.log(2))
    assert second.version == "novel/2"
    assert second.loss == pytest.approx(0.5)
    assert server.asked == {"prose@1": 3, "prose@2": 3}
    sent = {item["prediction_id"]: item["value"] for item in server.feedback}
    assert sent == {each.prediction_id: each.loss for each in told}
    assert {(item["name"], item["source"]) for item in server.feedback} == {("loss", "evaluation")}


def test_without_a_version_the_endpoint_is_asked_and_each_loss_counts_for_who_answered(
    server: _Server, rollbook: Rollbook
) -> None:
    losses = evaluate(rollbook, PASSAGES * 4, at(server))

    assert [(each.version, each.passages) for each in losses] == [("novel/1", 6), ("novel/2", 6)]
    assert server.asked == {"prose": 12}


def test_versions_and_feedback_are_chosen(server: _Server, rollbook: Rollbook) -> None:
    (second,) = evaluate(rollbook, PASSAGES, at(server, versions=("novel/2",), feedback_name=None))

    assert (second.version, server.feedback) == ("novel/2", [])


def test_a_gateway_that_is_busy_is_asked_again(server: _Server, rollbook: Rollbook) -> None:
    server.busy = 5

    losses = evaluate(rollbook, PASSAGES, at(server, versions=BOTH))

    assert [each.passages for each in losses] == [3, 3]


def test_a_passage_that_is_too_long_is_counted_and_left_out(server: _Server, rollbook: Rollbook) -> None:
    server.max_length = 4

    losses = evaluate(rollbook, PASSAGES, at(server, versions=BOTH))

    assert [(each.passages, each.refused) for each in losses] == [(2, 1), (2, 1)]
    assert losses[0].reason == "longer than the context"


def test_an_endpoint_that_scores_nothing_is_said_to(server: _Server, rollbook: Rollbook) -> None:
    server.scores = False

    with pytest.raises(NotScored, match="scored no passage: it tells no likelihoods"):
        evaluate(rollbook, PASSAGES, at(server))


def test_a_version_that_is_not_there_is_named_with_those_that_are(server: _Server, rollbook: Rollbook) -> None:
    with pytest.raises(NotScored, match="no deployment of novel/7; it has novel/1, novel/2"):
        evaluate(rollbook, PASSAGES, at(server, versions=("novel/7",)))


def test_a_gateway_without_an_answer_is_given_up(server: _Server, rollbook: Rollbook) -> None:
    server.busy = 10**9

    with pytest.raises(EvaluationCutShort, match=r"503 no instance, for 0\.5 s$"):
        evaluate(rollbook, PASSAGES, at(server, give_up_after_s=0.5))


def test_what_was_measured_before_the_gateway_was_given_up_is_told(server: _Server, rollbook: Rollbook) -> None:
    server.deadly = PASSAGES[2]

    with pytest.raises(EvaluationCutShort) as cut:
        evaluate(rollbook, PASSAGES, at(server, give_up_after_s=0.5, in_flight=1))

    assert [(each.version, each.passages) for each in cut.value.losses] == [("novel/1", 1), ("novel/2", 1)]
    assert len(server.feedback) == 2


def test_feedback_that_is_not_taken_costs_no_measurement(server: _Server, rollbook: Rollbook) -> None:
    server.takes_feedback = False

    with pytest.raises(EvaluationCutShort, match="6 losses were not taken as feedback: no such name") as cut:
        evaluate(rollbook, PASSAGES, at(server, versions=BOTH))

    assert [each.passages for each in cut.value.losses] == [3, 3]


def test_what_is_no_gateway_of_ours_is_said_to_be_none(server: _Server, rollbook: Rollbook) -> None:
    server.says_who = False

    with pytest.raises(NotScored, match="is no gateway of Rollbook"):
        evaluate(rollbook, PASSAGES, at(server))


async def test_a_notebook_may_evaluate_too(server: _Server, rollbook: Rollbook) -> None:
    losses = evaluate(rollbook, PASSAGES, at(server, versions=BOTH))

    assert [each.passages for each in losses] == [3, 3]
