"""What the gateway adds to a language model's streams, with capture, and what vllm-router adds, in the same run.

One engine behind all ways, one stream after the other at a fixed rate, each round through all ways in turn. The engine
captures what comes through the gateway; the other ways carry no prediction id, so that they are the engine as it is.
Real vLLM fills both cores of a small machine; an engine that replays what it wrote leaves them to what is measured.
"""

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from benchmarks.figures import Figure, at_most, quantile
from benchmarks.language_models import ENDPOINT, LanguageModel, real, replaying, serve
from benchmarks.peer_vllm_router import VERSION, running_router
from benchmarks.stack import Stack, running_stack
from benchmarks.token_streams import Times, Way, timed
from rollbook import Rollbook

_PER_S, _PER_S_REPLAYED = 2.0, 15.0
_TOKENS = 32
_ROUNDS, _ROUNDS_FULL, _WARM_UP = 60, 200, 5
_MORE_OF_REPLAYED = 5
ALONE, GATEWAY, ROUTER = "the engine alone", "the gateway, with capture", f"vllm-router {VERSION}"


def measure(*, full: bool) -> Iterator[list[Figure]]:
    """Time streams of real vLLM on all ways."""
    with tempfile.TemporaryDirectory() as folder:
        yield from _measured(real(Path(folder)), per_s=_PER_S, rounds=_ROUNDS_FULL if full else _ROUNDS)


def measure_replayed(*, full: bool) -> Iterator[list[Figure]]:
    """Time streams of the replaying engine on all ways."""
    rounds = _MORE_OF_REPLAYED * (_ROUNDS_FULL if full else _ROUNDS)
    with tempfile.TemporaryDirectory() as folder:
        yield from _measured(replaying(Path(folder)), per_s=_PER_S_REPLAYED, rounds=rounds)


def _measured(model: LanguageModel, *, per_s: float, rounds: int) -> Iterator[list[Figure]]:
    with running_stack(settings=model.settings) as stack, stack.client() as rollbook, ExitStack() as opened:
        engine = f"http://127.0.0.1:{serve(rollbook, model).instances[0].port}"
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        router = opened.enter_context(running_router(folder, worker_url=engine))
        ways = {ALONE: Way(url=engine), GATEWAY: _gateway(stack, rollbook), ROUTER: Way(url=router)}
        asyncio.run(timed(ways, _bodies(), rounds=_WARM_UP, per_s=per_s))
        times = asyncio.run(timed(ways, _bodies(), rounds=rounds, per_s=per_s))
        yield [*_figures(times, "first_ms", "time to first token", max_ms=3), *_load(times, per_s)]
        yield _figures(times, "between_ms", "time between tokens", max_ms=1)


def _gateway(stack: Stack, rollbook: Rollbook) -> Way:
    token = rollbook.inference_tokens.mint(["*"]).token
    return Way(url=stack.gateway_url, headers={"authorization": f"Bearer {token}"})


def _bodies() -> list[dict[str, object]]:
    shared: dict[str, object] = {
        "model": ENDPOINT,
        "max_tokens": _TOKENS,
        "stream": True,
        "ignore_eos": True,
        "temperature": 0,
    }
    return [{**shared, "prompt": f"Return the {number}"} for number in range(20)]


def _load(times: dict[str, list[Times]], per_s: float) -> list[Figure]:
    busy_s = sum(each.first_ms + each.between_ms * (_TOKENS - 1) for of_way in times.values() for each in of_way) / 1e3
    seconds = sum(map(len, times.values())) / per_s
    return [
        Figure(
            name="streams under way, mean",
            value=busy_s / seconds,
            unit="",
            note=f"{per_s:g} streams of {_TOKENS} tokens a second over all ways",
        )
    ]


def _figures(times: dict[str, list[Times]], field: str, title: str, *, max_ms: float) -> list[Figure]:
    taken = {name: [float(getattr(each, field)) for each in of_way] for name, of_way in times.items()}
    shown = [
        Figure(
            name=f"{title}, {name}, p50",
            value=quantile(values, 0.5),
            unit="ms",
            note=f"p90 {quantile(values, 0.9):.2f}, p99 {quantile(values, 0.99):.2f} ms; {len(values)} streams",
        )
        for name, values in taken.items()
    ]
    return [*shown, _added(taken, GATEWAY, title, max_ms=max_ms), _added(taken, ROUTER, title)]


def _added(taken: dict[str, list[float]], way: str, title: str, *, max_ms: float | None = None) -> Figure:
    differences = [there - alone for alone, there in zip(taken[ALONE], taken[way], strict=True)]
    return Figure(
        name=f"{title}, added by {way}, p50",
        value=quantile(taken[way], 0.5) - quantile(taken[ALONE], 0.5),
        unit="ms",
        goal=None if max_ms is None else at_most(max_ms),
        note=f"median of the differences of rounds {quantile(differences, 0.5):.2f} ms",
    )
