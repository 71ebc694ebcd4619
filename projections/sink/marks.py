"""Remembers begun batches in ClickHouse, and recognises a topic that was recreated."""

from collections.abc import Awaitable, Callable, Sequence

import pyarrow as pa
import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from infra.clock import Clock
from infra.kafka.clients import consumer_from_offset
from infra.kafka.connection import KafkaConnection
from projections.errors import StoreUnavailableError
from projections.sink.progress import Mark, Position
from projections.store import ClickHouseStore

SameLog = Callable[[str, int, Mark], Awaitable[bool]]
"""Whether the log of (topic, partition) still is the one in which the mark was made."""

_COLUMNS = pa.schema(
    [
        ("topic", pa.string()),
        ("partition", pa.uint16()),
        ("first_offset", pa.uint64()),
        ("last_offset", pa.uint64()),
        ("last_timestamp_ms", pa.int64()),
        ("written_at_ms", pa.uint64()),
        ("generation", pa.uint16()),
    ],
)
_LATEST = """
    SELECT first_offset AS first, last_offset AS last, last_timestamp_ms, generation
    FROM sink_positions FINAL
    WHERE topic = {topic:String} AND partition = {partition:UInt16}
"""
_PROBE_TIMEOUT_MS = 5_000

_log = structlog.get_logger(__name__)


class ClickHouseMarks:
    """The table sink_positions: one row a partition, written before each batch."""

    def __init__(self, store: ClickHouseStore, *, clock: Clock, same_log: SameLog) -> None:
        self._store = store
        self._clock = clock
        self._same_log = same_log
        self._written_at_ms = 0

    async def load(self, topic: str, partition: int) -> Position:
        rows = await self._store.select(_LATEST, {"topic": topic, "partition": partition})
        if not rows:
            return Position()
        mark = Mark(**rows[0])
        if await self._same_log(topic, partition, mark):
            return Position(mark=mark, generation=mark.generation)
        _log.warning("topic_was_made_anew", topic=topic, partition=partition, forgotten_offset=mark.last)
        return Position(generation=mark.generation + 1)

    async def begin(self, topic: str, marks: Sequence[tuple[int, Mark]]) -> None:
        # The latest row wins, so it must be the latest even when the machine's clock steps back.
        self._written_at_ms = max(self._clock.now_ms(), self._written_at_ms + 1)
        rows = [
            {
                "topic": topic,
                "partition": partition,
                "first_offset": mark.first,
                "last_offset": mark.last,
                "last_timestamp_ms": mark.last_timestamp_ms,
                "written_at_ms": self._written_at_ms,
                "generation": mark.generation,
            }
            for partition, mark in marks
        ]
        token = f"{topic}-{self._written_at_ms}"
        await self._store.insert("sink_positions", pa.Table.from_pylist(rows, schema=_COLUMNS), token=token)


class KafkaLogProbe:
    """Looks at the message under a mark: the same log has it, with the same time, unless retention took it."""

    def __init__(self, connection: KafkaConnection) -> None:
        self._connection = connection

    async def __call__(self, topic: str, partition: int, mark: Mark) -> bool:
        try:
            consumer = await consumer_from_offset(
                self._connection, client_id="projections-probe", topic=topic, offsets={partition: mark.last}
            )
            try:
                return await self._holds(consumer, TopicPartition(topic, partition), mark)
            finally:
                await consumer.stop()
        except (KafkaError, TimeoutError) as error:
            raise StoreUnavailableError(f"the log of {topic} cannot be compared: {error}") from error

    async def _holds(self, consumer: AIOKafkaConsumer, at: TopicPartition, mark: Mark) -> bool:
        start = (await consumer.beginning_offsets([at]))[at]
        end = (await consumer.end_offsets([at]))[at]
        if mark.last >= end:
            return False
        if mark.last < start:
            return True
        found = await consumer.getmany(at, timeout_ms=_PROBE_TIMEOUT_MS, max_records=1)
        if not found.get(at):
            raise TimeoutError(f"no message at offset {mark.last}")
        return bool(found[at][0].offset == mark.last and found[at][0].timestamp == mark.last_timestamp_ms)
