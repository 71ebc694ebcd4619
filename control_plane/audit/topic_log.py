"""Reads the published log, from its first record to the last one that is there when reading starts."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka.errors import KafkaError

from control_plane.audit.errors import LogBrokenError, LogUnreadableError
from control_plane.event_store.log_file import LoggedEvent
from control_plane.relay.record import PoisonRecordError, from_record
from control_plane.relay.topic_reader import open_reader
from infra.kafka.connection import KafkaConnection
from schemas.topics import REGISTRY_EVENTS

_STEP_SECONDS = 30.0
_POLL_MS = 500
_AT_ONCE = 2_000


class TopicLog:
    """The events of the topic in order."""

    def __init__(self, consumer: object, *, first: int, end: int) -> None:
        self._consumer = consumer
        self._next, self._end = first, end

    async def batches(self) -> AsyncIterator[list[LoggedEvent]]:
        """Yield every event once.

        Raises:
            LogUnreadableError: the broker stopped answering.
            LogBrokenError: a record is not one of ours.
        """
        while self._next < self._end:
            try:
                async with asyncio.timeout(_STEP_SECONDS):
                    polled = await self._consumer.getmany(timeout_ms=_POLL_MS, max_records=_AT_ONCE)  # type: ignore[attr-defined]
            except (TimeoutError, KafkaError) as error:
                raise LogUnreadableError(f"the topic cannot be read ({error!r}); is Kafka running?") from error
            records = [record for records in polled.values() for record in records if record.offset < self._end]
            if records:
                self._next = records[-1].offset + 1
                yield [_event(record) for record in records]


@asynccontextmanager
async def open_topic_log(connection: KafkaConnection, *, topic: str = REGISTRY_EVENTS.name) -> AsyncIterator[TopicLog]:
    """Open the topic for reading; nothing is committed anywhere.

    Raises:
        LogUnreadableError: Kafka does not answer, or has no such topic.
    """
    try:
        async with asyncio.timeout(_STEP_SECONDS) as patience:
            async with open_reader(connection, topic, client_id="audit") as (consumer, partition):
                first = int((await consumer.beginning_offsets([partition]))[partition])
                end = int((await consumer.end_offsets([partition]))[partition])
                consumer.seek(partition, first)
                patience.reschedule(None)
                yield TopicLog(consumer, first=first, end=end)
    except (TimeoutError, KafkaError) as error:
        raise LogUnreadableError(
            f"the topic {topic} at {connection.bootstrap} cannot be read ({error!r}); is the stack running?"
        ) from error


def _event(record: object) -> LoggedEvent:
    try:
        return from_record(record)  # type: ignore[arg-type]  # aiokafka has no annotations
    except PoisonRecordError as error:
        raise LogBrokenError(f"topic: {error}") from error
