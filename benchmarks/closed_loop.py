"""The command process: clients that each send one command after the other, from a process of its own.

`python -m benchmarks.closed_loop` reads a `Round` as one line of JSON from standard input and writes a `Lap`.
"""

import asyncio
import os
import subprocess
import sys
import time
import uuid
from pathlib import Path

import msgspec
import uvloop

from benchmarks.wire import Answer, Connection, address_of, request_bytes

ROOT = Path(__file__).resolve().parents[1]
_CREATED = 201


class Round(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of the process: register models of new names for so long."""

    api_url: str
    token: str
    clients: int
    seconds: float


class Lap(msgspec.Struct, frozen=True, kw_only=True):
    """How long each command took, and the whole."""

    durations_ms: list[float]
    refused: int
    seconds: float
    cpu_s: float


def run_apart(round_: Round) -> Lap:
    """Run a round in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.closed_loop"]
    done = subprocess.run(
        command,
        cwd=ROOT,
        input=msgspec.json.encode(round_) + b"\n",
        stdout=subprocess.PIPE,
        check=True,
        timeout=round_.seconds + 60,
    )
    return msgspec.json.decode(done.stdout, type=Lap)


async def _run(round_: Round) -> Lap:
    durations: list[float] = []
    refused: list[int] = []
    began = time.perf_counter()
    clients = (
        _client(round_, until=began + round_.seconds, durations=durations, refused=refused)
        for _ in range(round_.clients)
    )
    await asyncio.gather(*clients)
    return Lap(
        durations_ms=durations, refused=len(refused), seconds=time.perf_counter() - began, cpu_s=sum(os.times()[:2])
    )


async def _client(round_: Round, *, until: float, durations: list[float], refused: list[int]) -> None:
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(Connection, *address_of(round_.api_url))
    while time.perf_counter() < until:
        answered: asyncio.Future[Answer | None] = loop.create_future()
        request = _command(round_.token)
        began = time.perf_counter()
        connection.ask(request, answered.set_result)
        answer = await answered
        durations.append((time.perf_counter() - began) * 1000)
        if answer is None or answer.status != _CREATED:
            refused.append(answer.status if answer else 0)
        if answer is None:
            return
    connection.close()


def _command(token: str) -> bytes:
    name = f"model-{uuid.uuid4().hex}"
    headers = {
        "authorization": f"Bearer {token}",
        "content-type": "application/json",
        "idempotency-key": name,
    }
    return request_bytes("POST", "/v1/models", headers=headers, body=msgspec.json.encode({"name": name}))


def main() -> int:
    """Run the process."""
    round_ = msgspec.json.decode(sys.stdin.buffer.readline(), type=Round)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        lap = runner.run(_run(round_))
    sys.stdout.buffer.write(msgspec.json.encode(lap))
    return 0


if __name__ == "__main__":
    sys.exit(main())
