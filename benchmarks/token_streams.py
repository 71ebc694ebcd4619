"""Callers of a language model: streams begun at a fixed rate, by the clock and not by the answers, on several ways."""

import asyncio
import json
import time
from collections.abc import Mapping, Sequence

import aiohttp
import msgspec

_DATA = b"data: "
_DONE = b"[DONE]"
_OK = 200
_TIMEOUT_S = 60.0


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """One way to the engine."""

    url: str
    headers: dict[str, str] = {}


class Times(msgspec.Struct, frozen=True):
    """One stream: until its first token, and the mean between two tokens after it."""

    first_ms: float
    between_ms: float


async def timed(
    ways: Mapping[str, Way], bodies: Sequence[dict[str, object]], *, rounds: int, per_s: float
) -> dict[str, list[Times]]:
    """Ask on each way once a round; each way has each place in the round, and all ask the same."""
    names = list(ways)
    tasks: dict[str, list[asyncio.Task[Times]]] = {name: [] for name in names}
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        began, sent = time.perf_counter(), 0
        for number in range(rounds):
            turn = number % len(names)
            for name in names[turn:] + names[:turn]:
                await asyncio.sleep(max(0.0, began + sent / per_s - time.perf_counter()))
                sent += 1
                stream = _stream(session, ways[name], bodies[number % len(bodies)])
                tasks[name].append(asyncio.create_task(stream))
        return {name: list(await asyncio.gather(*of_way)) for name, of_way in tasks.items()}


async def _stream(session: aiohttp.ClientSession, way: Way, body: dict[str, object]) -> Times:
    began = time.perf_counter()
    async with session.post(f"{way.url}/v1/completions", json=body, headers=way.headers) as answer:
        if answer.status != _OK:
            raise RuntimeError(f"{way.url} answers {answer.status}: {(await answer.text())[:300]}")
        arrived = [time.perf_counter() async for line in answer.content if _is_token(line)]
    if len(arrived) <= 1:
        raise RuntimeError(f"{way.url} streamed {len(arrived)} tokens")
    return Times((arrived[0] - began) * 1_000, (arrived[-1] - arrived[0]) * 1_000 / (len(arrived) - 1))


def _is_token(line: bytes) -> bool:
    content = line.removeprefix(_DATA).strip()
    return line.startswith(_DATA) and content != _DONE and bool(json.loads(content)["choices"])
