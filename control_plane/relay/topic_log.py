"""Reads back the log that a relay has published."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from control_plane.log.errors import LogBrokenError, LogUnreadableError
from control_plane.log.ports import LoggedEvent
from control_plane.relay.record import ConsumedRecord, PoisonRecordError, from_record
from control_plane.relay.topic_reader import open_reader, poll
from infra.kafka.connection import KafkaConnection
from schemas.topics import REGISTRY_EVENTS

PATIENCE_SECONDS = 30.0


class TopicLog:
    """Implements `LogReader` on the topic of events.

    Going on after the last event that was read costs what it returns, and gives every record, so that an auditor sees
    one that comes twice. Reading from elsewhere begins with the first record: positions are not offsets.
    """

    def __init__(
        self, consumer: AIOKafkaConsumer, partition: TopicPartition, *, first: int, patience_seconds: float
    ) -> None:
        self._consumer = consumer
        self._partition = partition
        self._patience_seconds = patience_seconds
        self._first = self._end = first
        self._go_to(first)

    async def read(self, *, after: int, limit: int) -> list[LoggedEvent]:
        with self._reading():
            if after == self._position:
                return await self._following(limit)
            self._go_to(self._first)
            found: list[LoggedEvent] = []
            while len(found) < limit and (events := await self._following(limit - len(found))):
                found += [event for event in events if event.position > after]
            return found

    async def head(self) -> int:
        with self._reading():
            async with asyncio.timeout(self._patience_seconds):
                self._end = await self._end_offset()
                if self._end == self._first:
                    return 0
                self._consumer.seek(self._partition, self._end - 1)
                (last,) = await poll(self._consumer, self._partition, limit=1)
                self._consumer.seek(self._partition, self._next)
                return _event(last).position

    def _go_to(self, first: int) -> None:
        self._next, self._position = first, 0
        self._consumer.seek(self._partition, first)

    async def _following(self, limit: int) -> list[LoggedEvent]:
        """Return what comes next, less than the limit only at the end of the topic."""
        found: list[LoggedEvent] = []
        if self._next >= self._end:
            async with asyncio.timeout(self._patience_seconds):
                self._end = await self._end_offset()
        while self._next < self._end and len(found) < limit:
            async with asyncio.timeout(self._patience_seconds):
                records = await poll(self._consumer, self._partition, limit=limit - len(found))
            found += [_event(record) for record in records]
            self._next, self._position = records[-1].offset + 1, found[-1].position
        return found

    async def _end_offset(self) -> int:
        return int((await self._consumer.end_offsets([self._partition]))[self._partition])

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except (TimeoutError, KafkaError) as error:
            raise LogUnreadableError(f"the topic cannot be read ({error!r}); is Kafka running?") from error


@asynccontextmanager
async def open_topic_log(
    connection: KafkaConnection, *, topic: str = REGISTRY_EVENTS.name, patience_seconds: float = PATIENCE_SECONDS
) -> AsyncIterator[TopicLog]:
    """Open the topic for reading; nothing is committed anywhere.

    Raises:
        LogUnreadableError: Kafka does not answer, or has no such topic.
    """
    try:
        async with asyncio.timeout(patience_seconds) as patience:
            async with open_reader(connection, topic, client_id="audit") as (consumer, partition):
                first = int((await consumer.beginning_offsets([partition]))[partition])
                patience.reschedule(None)
                yield TopicLog(consumer, partition, first=first, patience_seconds=patience_seconds)
    except (TimeoutError, KafkaError) as error:
        raise LogUnreadableError(
            f"the topic {topic} at {connection.bootstrap} cannot be read ({error!r}); is the stack running?"
        ) from error


def _event(record: ConsumedRecord) -> LoggedEvent:
    try:
        return from_record(record)
    except PoisonRecordError as error:
        raise LogBrokenError(f"topic: {error}") from error
