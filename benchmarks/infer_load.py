"""The inference load process: callers that each wait for their answer, or calls at a fixed rate; REST or gRPC.

`python -m benchmarks.infer_load` reads a `Calls` as one line of JSON from standard input and writes a `Lap`. It knows
no server: requests are ready-made bytes, and of an answer it only looks at whether it is one.
"""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from itertools import count
from pathlib import Path
from typing import Literal, TypeAlias, cast

import grpc
import msgspec
import uvloop

from benchmarks.wire import Answer, Connection, address_of, request_bytes

ROOT = Path(__file__).resolve().parents[1]
METHOD = "/inference.GRPCInferenceService/ModelInfer"
_OK = 200
_WARM_UP_S = 0.5
_ANSWER_S = 30.0
Ask: TypeAlias = Callable[[int], Awaitable[bool]]


class Calls(msgspec.Struct, frozen=True, kw_only=True):
    """What the process is told. Without a rate each caller asks again as soon as it has its answer."""

    protocol: Literal["rest", "grpc"]
    address: str
    path: str
    requests: list[bytes]
    callers: int
    seconds: float
    rate_per_s: float = 0.0
    headers: dict[str, str] = {}


class Lap(msgspec.Struct, frozen=True, kw_only=True):
    """How long each call took, at a fixed rate counted from when it was due; and the whole."""

    durations_ms: list[float]
    failed: int
    seconds: float
    cpu_s: float


def run_apart(calls: Calls) -> Lap:
    """Make the calls from a process of its own."""
    command = [sys.executable, "-m", "benchmarks.infer_load"]
    line = msgspec.json.encode(calls) + b"\n"
    timeout = calls.seconds + 90
    done = subprocess.run(command, cwd=ROOT, input=line, stdout=subprocess.PIPE, check=True, timeout=timeout)
    return msgspec.json.decode(done.stdout, type=Lap)


async def _run(calls: Calls) -> Lap:
    async with AsyncExitStack() as opened:
        callers = await _callers(calls, opened)
        await _closed_loop(callers, seconds=_WARM_UP_S)
        began, cpu = time.perf_counter(), sum(os.times()[:2])
        if calls.rate_per_s:
            durations, failed = await _at_rate(callers, calls)
        else:
            durations, failed = await _closed_loop(callers, seconds=calls.seconds)
        seconds = time.perf_counter() - began
        return Lap(durations_ms=durations, failed=failed, seconds=seconds, cpu_s=sum(os.times()[:2]) - cpu)


async def _callers(calls: Calls, opened: AsyncExitStack) -> list[Ask]:
    if calls.protocol == "rest":
        return [await _over_rest(calls, opened) for _ in range(calls.callers)]
    channel = await opened.enter_async_context(grpc.aio.insecure_channel(calls.address))
    method = channel.unary_unary(METHOD)
    metadata = tuple(calls.headers.items())

    async def ask(number: int) -> bool:
        request = calls.requests[number % len(calls.requests)]
        try:
            answer = cast("bytes", await method(request, metadata=metadata, timeout=_ANSWER_S))
        except grpc.RpcError:
            return False
        return bool(answer)

    return [ask] * calls.callers


async def _over_rest(calls: Calls, opened: AsyncExitStack) -> Ask:
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(Connection, *address_of(calls.address))
    opened.callback(connection.close)
    headers = {"content-type": "application/json", **calls.headers}
    requests = [request_bytes("POST", calls.path, headers=headers, body=body) for body in calls.requests]

    async def ask(number: int) -> bool:
        answered: asyncio.Future[Answer | None] = loop.create_future()
        connection.ask(requests[number % len(requests)], answered.set_result)
        answer = await answered
        return answer is not None and answer.status == _OK

    return ask


async def _closed_loop(callers: list[Ask], *, seconds: float) -> tuple[list[float], int]:
    durations: list[float] = []
    failed: list[int] = []
    until = time.perf_counter() + seconds

    async def call(ask: Ask) -> None:
        for number in count():
            began = time.perf_counter()
            if began >= until:
                return
            if not await ask(number):
                failed.append(number)
            durations.append((time.perf_counter() - began) * 1000)

    await asyncio.gather(*(call(ask) for ask in callers))
    return durations, len(failed)


async def _at_rate(callers: list[Ask], calls: Calls) -> tuple[list[float], int]:
    durations: list[float] = []
    failed: list[int] = []
    began, due = time.perf_counter(), count()
    last = round(calls.rate_per_s * calls.seconds)

    async def call(ask: Ask) -> None:
        while (number := next(due)) < last:
            planned = began + number / calls.rate_per_s
            if (ahead := planned - time.perf_counter()) > 0:
                await asyncio.sleep(ahead)
            if not await ask(number):
                failed.append(number)
            durations.append((time.perf_counter() - planned) * 1000)

    await asyncio.gather(*(call(ask) for ask in callers))
    return durations, len(failed)


def main() -> int:
    """Run the process."""
    calls = msgspec.json.decode(sys.stdin.buffer.readline(), type=Calls)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        lap = runner.run(_run(calls))
    sys.stdout.buffer.write(msgspec.json.encode(lap))
    return 0


if __name__ == "__main__":
    sys.exit(main())
