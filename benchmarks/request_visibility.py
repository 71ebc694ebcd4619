"""Request made to visible in a query: an answer's prediction id is asked for until ClickHouse knows it, under load."""

import time
from collections.abc import Iterator

from benchmarks.digits import ENDPOINT, PATH, image_bodies, register_two_versions, serve
from benchmarks.figures import Figure, at_most, quantile
from benchmarks.load import Plan
from benchmarks.stack import Stack, running_stack
from benchmarks.traffic import figures_of, flowing
from benchmarks.wire import BlockingConnection, request_bytes
from rollbook import Rollbook

_SAMPLES = 200
_SAMPLES_FULL = 600
_EVERY_S = 0.1
_PAUSE_S = 0.02
_GIVE_UP_S = 30.0
_REQUESTS_PER_S = 200.0
_SQL = """
SELECT prediction_id FROM request_records
WHERE started_at_ms >= {since:Int64} AND prediction_id IN {ids:Array(String)}
"""


def measure(*, full: bool) -> Iterator[list[Figure]]:
    """Make requests of our own among those of the load, and look for them."""
    with running_stack() as stack, stack.client() as rollbook:
        serve(rollbook, *register_two_versions(rollbook))
        token = rollbook.inference_tokens.mint(["*"]).token
        plan = Plan(
            gateway_url=stack.gateway_url,
            token=token,
            path=PATH,
            bodies=image_bodies(),
            endpoints=[ENDPOINT],
            requests_per_s=_REQUESTS_PER_S,
        )
        with flowing(plan, warm_up_s=5.0) as traffic:
            delays, looks = _sample(stack, rollbook, token=token, samples=_SAMPLES_FULL if full else _SAMPLES)
            load = traffic.finish()
        yield [*_figures(delays, looks), *figures_of(load, prefix="load")]


class _Search:
    """The requests that were made and are not visible yet, by prediction id, with the time each was sent."""

    def __init__(self, rollbook: Rollbook) -> None:
        self._rollbook = rollbook
        self.sent_at: dict[str, float] = {}
        self.delays: list[float] = []
        self.looks: list[float] = []

    def look(self) -> None:
        if not self.sent_at:
            return
        began = time.time()
        since = int(min(self.sent_at.values()) * 1000) - 1_000
        answer = self._rollbook.query(_SQL, {"since": since, "ids": list(self.sent_at)})
        seen_at = time.time()
        self.looks.append((seen_at - began) * 1000)
        for (prediction_id,) in answer["data"]:
            self.delays.append(seen_at - self.sent_at.pop(prediction_id))


def _sample(stack: Stack, rollbook: Rollbook, *, token: str, samples: int) -> tuple[list[float], list[float]]:
    search, body = _Search(rollbook), image_bodies()[0].encode()
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    request = request_bytes("POST", PATH, headers=headers, body=body)
    next_at = time.monotonic()
    made, deadline = 0, time.monotonic() + samples * _EVERY_S + _GIVE_UP_S
    with BlockingConnection(stack.gateway_url) as gateway:
        while (made < samples or search.sent_at) and time.monotonic() < deadline:
            if made < samples and time.monotonic() >= next_at:
                next_at += _EVERY_S
                sent_at = time.time()
                search.sent_at[gateway.ask(request).header(b"x-prediction-id").decode()] = sent_at
                made += 1
            search.look()
            time.sleep(_PAUSE_S)
    return [*search.delays, *(float("inf") for _ in search.sent_at)], search.looks


def _figures(delays: list[float], looks: list[float]) -> list[Figure]:
    return [
        Figure(name="request made to visible, p50", value=quantile(delays, 0.5), unit="s"),
        Figure(
            name="request made to visible, p99",
            value=quantile(delays, 0.99),
            unit="s",
            goal=at_most(2),
            note=f"{len(delays)} requests, highest {max(delays):.2f} s",
        ),
        Figure(
            name="one look, p50",
            value=quantile(looks, 0.5),
            unit="ms",
            note=f"p99 {quantile(looks, 0.99):.0f} ms, and {_PAUSE_S * 1000:.0f} ms between looks: the resolution",
        ),
    ]
