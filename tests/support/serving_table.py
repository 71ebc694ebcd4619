"""The example that follows documents, run as its users run it: it knows a broker and the published schemas."""

import asyncio
from asyncio.subprocess import PIPE
from collections.abc import Sequence
from pathlib import Path

import msgspec
from aiokafka import AIOKafkaProducer

from infra.kafka.clients import producer
from infra.kafka.connection import KafkaConnection
from infra.kafka.topics import TopicSpec, ensure_topics
from schemas.topics import SERVING_STATE
from tests.support.documents import message_of
from tests.support.routing import Log, added, announced, created, shifted, withdrawn

EXAMPLE = Path(__file__).parents[2] / "clients" / "examples" / "serving_table"
LINE_WITHIN_S = 180

_DIGITS, _LETTERS = "endpoint-1", "endpoint-2"
_BEFORE: Sequence[tuple[str, msgspec.Struct]] = [
    (_DIGITS, created()),
    (_DIGITS, added("d1")),
    ("instance-1", announced(_DIGITS, "d1")),
    ("instance-2", announced(_DIGITS, "d1")),
    (_DIGITS, shifted(d1=[(0, 10_000)])),
    (_LETTERS, created("letters")),
]
_BEFORE_SHOWN = ["digits: 100 % digits/1 (2 ready)", "letters: no traffic"]
_AFTER: Sequence[tuple[str, msgspec.Struct]] = [
    (_DIGITS, added("d2", number=2)),
    ("instance-3", announced(_DIGITS, "d2")),
    (_DIGITS, shifted(d1=[(0, 9_500)], d2=[(9_500, 10_000)])),
    ("instance-2", withdrawn(_DIGITS, "d1")),
]
_AFTER_SHOWN = [
    "digits: 95 % digits/1 (2 ready), 5 % digits/2 (1 ready)",
    "digits: 95 % digits/1 (1 ready), 5 % digits/2 (1 ready)",
]


async def check_serving_table(command: Sequence[str], connection: KafkaConnection) -> None:
    """Run the example while documents change; `command` takes the broker's address, and no documents are there yet."""
    await ensure_topics(connection, [TopicSpec.of(SERVING_STATE)])
    log = Log()
    async with producer(connection, client_id="test-relay") as client:
        await _publish(client, log, _BEFORE)
        process = await asyncio.create_subprocess_exec(*command, connection.bootstrap, stdout=PIPE, cwd=EXAMPLE)
        try:
            assert await _lines(process, len(_BEFORE_SHOWN)) == _BEFORE_SHOWN
            await _publish(client, log, _AFTER)
            assert await _lines(process, len(_AFTER_SHOWN)) == _AFTER_SHOWN
        finally:
            process.kill()
            await process.wait()


async def _publish(client: AIOKafkaProducer, log: Log, events: Sequence[tuple[str, msgspec.Struct]]) -> None:
    for stream, event in events:
        for record in log.append(stream, event).records:
            await client.send_and_wait(SERVING_STATE.name, **message_of(record), key=record.id.encode(), partition=0)


async def _lines(process: asyncio.subprocess.Process, count: int) -> list[str]:
    assert process.stdout is not None
    async with asyncio.timeout(LINE_WITHIN_S):
        return [(await process.stdout.readline()).decode().rstrip("\n") for _ in range(count)]
