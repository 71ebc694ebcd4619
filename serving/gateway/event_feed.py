"""Reads the log of domain events from Kafka, from our own cursor, with as little delay as the broker allows."""

from collections.abc import AsyncIterator, Sequence

import msgspec
import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import ConsumerRecord

from infra.kafka.clients import consumer_from_offset
from infra.kafka.connection import KafkaConnection
from schemas.envelope import Envelope, decode
from schemas.topics import REGISTRY_EVENTS

_PARTITION = TopicPartition(REGISTRY_EVENTS.name, 0)
_POLL_MS = 1_000

_log = structlog.get_logger(__name__)


class Cursor(msgspec.Struct, frozen=True, kw_only=True):
    """The last record that was read: its offset and its position.

    The offset is only valid in the topic it came from, so it is only trusted if the record there still has this
    position.
    """

    offset: int
    position: int


class RecordedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event with its place in the log and in the topic."""

    envelope: Envelope
    cursor: Cursor


async def read_events(
    connection: KafkaConnection, *, client_id: str, cursor: Cursor | None
) -> AsyncIterator[Sequence[RecordedEvent]]:
    """Yield batches of events after the cursor, forever; from the topic's start if the cursor is not valid.

    Events that the caller has seen may be repeated; it drops them by position.

    Raises:
        KafkaError: the broker is away; the caller reopens the feed.
        msgspec.DecodeError: a record is not an event.
    """
    start = await _checked_start(connection, client_id=client_id, cursor=cursor)
    consumer = await consumer_from_offset(
        connection, client_id=client_id, topic=REGISTRY_EVENTS.name, offsets={0: start}
    )
    try:
        while True:
            fetched = await consumer.getmany(_PARTITION, timeout_ms=_POLL_MS)
            records = fetched.get(_PARTITION, [])
            if records:
                yield [_event(record) for record in records]
    finally:
        await consumer.stop()


async def _checked_start(connection: KafkaConnection, *, client_id: str, cursor: Cursor | None) -> int:
    if cursor is None:
        return await _beginning(connection, client_id=client_id)
    consumer = await consumer_from_offset(
        connection, client_id=client_id, topic=REGISTRY_EVENTS.name, offsets={0: cursor.offset}, max_poll_records=1
    )
    try:
        if await _carries(consumer, cursor):
            return cursor.offset + 1
    finally:
        await consumer.stop()
    _log.warning("topic_is_another", offset=cursor.offset, position=cursor.position)
    return await _beginning(connection, client_id=client_id)


async def _carries(consumer: AIOKafkaConsumer, cursor: Cursor) -> bool:
    end = (await consumer.end_offsets([_PARTITION]))[_PARTITION]
    beginning = (await consumer.beginning_offsets([_PARTITION]))[_PARTITION]
    if not beginning <= cursor.offset < end:
        return False
    records = (await consumer.getmany(_PARTITION, timeout_ms=_POLL_MS, max_records=1)).get(_PARTITION, [])
    return bool(records) and records[0].offset == cursor.offset and _position(records[0]) == cursor.position


async def _beginning(connection: KafkaConnection, *, client_id: str) -> int:
    consumer = await consumer_from_offset(connection, client_id=client_id, topic=REGISTRY_EVENTS.name, offsets={0: 0})
    try:
        return int((await consumer.beginning_offsets([_PARTITION]))[_PARTITION])
    finally:
        await consumer.stop()


def _event(record: ConsumerRecord[bytes, bytes]) -> RecordedEvent:
    assert record.value is not None
    return RecordedEvent(
        envelope=decode(record.value),
        cursor=Cursor(offset=record.offset, position=_position(record)),
    )


def _position(record: ConsumerRecord[bytes, bytes]) -> int:
    return int(dict(record.headers)["position"])
