"""One of two engines of a language model is killed with -9 under load, again and again.

Half of the calls are streams. A stream that had begun when its engine was killed breaks, as it must; a call that had
not begun its answer is asked of the other engine, and must not fail.
"""

import asyncio
import os
import signal
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import httpx
import msgspec

from benchmarks.digits import eventually
from benchmarks.figures import Figure, at_most, quantile
from benchmarks.language_models import ENDPOINT, LanguageModel, real, replaying, serve
from benchmarks.stack import Stack, running_stack
from rollbook import Rollbook

_REPLICAS = 2
_TOKENS = 8
_PER_S, _PER_S_REAL = 200.0, 2.0
_KILLS, _KILLS_FULL, _KILLS_REAL = 5, 50, 5
# A part of the kills meets the other one while it still starts slowly.
_PAUSES_S = (1.0, 2.0, 4.0)
_BACK_WITHIN_S = 300.0
_TIMEOUT_S = 60.0
_OK = 200
_DONE = b"data: [DONE]"


class Fates(msgspec.Struct, kw_only=True):
    """What became of calls; `failed` counts those that had not begun their answer, by why."""

    sent: int = 0
    whole: int = 0
    broken: int = 0
    failed: Counter[str] = msgspec.field(default_factory=Counter)


def measure(*, full: bool) -> Iterator[list[Figure]]:
    """Kill replaying engines."""
    with tempfile.TemporaryDirectory() as folder:
        kills = _KILLS_FULL if full else _KILLS
        yield _measured(replaying(Path(folder), speed=4.0), per_s=_PER_S, kills=kills)


def measure_real(*, full: bool) -> Iterator[list[Figure]]:  # noqa: ARG001 - as many kills either way
    """Kill real vLLM."""
    with tempfile.TemporaryDirectory() as folder:
        yield _measured(real(Path(folder)), per_s=_PER_S_REAL, kills=_KILLS_REAL)


def _measured(model: LanguageModel, *, per_s: float, kills: int) -> list[Figure]:
    with running_stack(settings=model.settings) as stack, stack.client() as rollbook:
        serve(rollbook, model, replicas=_REPLICAS)
        with _flowing(stack, rollbook, per_s) as fates:
            eventually(lambda: fates.whole > 0)
            away = [_kill_one(rollbook, number) for number in range(kills)]
    reasons = ", ".join(f"{count} {why}" for why, count in fates.failed.items())
    return [
        Figure(name="kills of one of two engines", value=len(away), unit=""),
        Figure(
            name="calls that failed before their answer began",
            value=fates.failed.total(),
            unit="",
            goal=at_most(0),
            note=f"of {fates.sent:,} at {per_s:g}/s {reasons}".rstrip(),
        ),
        Figure(name="streams that broke off", value=fates.broken, unit="", note=f"{fates.whole:,} answers whole"),
        Figure(
            name="kill -9 to both ready again, p50",
            value=quantile(away, 0.5),
            unit="s",
            note=f"longest {max(away):.1f} s",
        ),
    ]


def _kill_one(rollbook: Rollbook, number: int) -> float:
    """Kill an engine, and return how long it took until both were there."""
    time.sleep(_PAUSES_S[number % len(_PAUSES_S)])
    eventually(lambda: len(_pids(rollbook)) == _REPLICAS, within_s=_BACK_WITHIN_S)
    pids = _pids(rollbook)
    doomed = pids[number % _REPLICAS]
    began = time.monotonic()
    os.kill(doomed, signal.SIGKILL)
    eventually(lambda: doomed not in (now := _pids(rollbook)) and len(now) == _REPLICAS, within_s=_BACK_WITHIN_S)
    return time.monotonic() - began


def _pids(rollbook: Rollbook) -> list[int]:
    """Return the processes of the instances that are announced and answer."""
    found = []
    for instance in rollbook.endpoints.get(ENDPOINT).deployments[0].instances:
        try:
            answer = httpx.get(f"http://127.0.0.1:{instance.port}/rollbook/instance", timeout=_TIMEOUT_S)
        except httpx.TransportError:
            continue
        found.append(int(answer.json()["pid"]))
    return sorted(found)


@contextmanager
def _flowing(stack: Stack, rollbook: Rollbook, per_s: float) -> Iterator[Fates]:
    """Have calls flow until the block is left; then each has its fate."""
    fates, over = Fates(), threading.Event()
    headers = {"authorization": f"Bearer {rollbook.inference_tokens.mint(['*']).token}"}
    calls = threading.Thread(target=lambda: asyncio.run(_send(stack.gateway_url, headers, per_s, fates, over)))
    calls.start()
    try:
        yield fates
    finally:
        over.set()
        calls.join()


async def _send(url: str, headers: dict[str, str], per_s: float, fates: Fates, over: threading.Event) -> None:
    timeout, connector = aiohttp.ClientTimeout(total=_TIMEOUT_S), aiohttp.TCPConnector(limit=0)
    async with (
        aiohttp.ClientSession(url, headers=headers, timeout=timeout, connector=connector) as session,
        asyncio.TaskGroup() as group,
    ):
        began = time.monotonic()
        while not over.is_set():
            await asyncio.sleep(max(0.0, began + fates.sent / per_s - time.monotonic()))
            group.create_task(_call(session, fates, is_stream=fates.sent % 2 == 0))
            fates.sent += 1


async def _call(session: aiohttp.ClientSession, fates: Fates, *, is_stream: bool) -> None:
    body = {"model": ENDPOINT, "prompt": "Return the", "max_tokens": _TOKENS, "stream": is_stream}
    has_begun = False
    last = b""
    try:
        async with session.post("/v1/completions", json=body) as answer:
            if answer.status != _OK:
                fates.failed[f"status {answer.status} {(await answer.text())[:160]}"] += 1
                return
            has_begun = is_stream
            async for line in answer.content:
                last = line.strip() or last
    except (aiohttp.ClientError, TimeoutError) as error:
        if has_begun:
            fates.broken += 1
        else:
            fates.failed[repr(error)] += 1
        return
    if is_stream and last != _DONE:
        fates.broken += 1
    else:
        fates.whole += 1
