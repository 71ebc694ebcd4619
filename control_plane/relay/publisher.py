"""Sends events in order, one batch in flight, and says that they are in the topic, or that it is unknown."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError, RecordListTooLargeError
from aiokafka.structs import RecordMetadata

from control_plane.event_store.log_file import LoggedEvent
from control_plane.relay.errors import PoisonEventError, PublishingError
from control_plane.relay.record import to_record
from control_plane.relay.tail import Tail
from infra.kafka.clients import abandon, producer
from infra.kafka.connection import KafkaConnection

DEADLINE_SECONDS = 20.0


class Publisher:
    """A producer's life between two looks at the topic's tail; after any error it is not used again."""

    def __init__(self, kafka: AIOKafkaProducer, topic: str, tail: Tail, *, deadline_seconds: float) -> None:
        self._kafka = kafka
        self._topic = topic
        self._next_offset = tail.next_offset
        self._deadline_seconds = deadline_seconds

    async def publish(self, events: Sequence[LoggedEvent]) -> None:
        """Append events and return when the broker has them all, each at the offset that follows the one before.

        Raises:
            PoisonEventError: an event cannot be published as it is; none after it was.
            PublishingError: it is unknown how many of them are in the topic.
        """
        try:
            async with asyncio.timeout(self._deadline_seconds):
                sent = [await self._send(event) for event in events]
                offsets = [(await one).offset for one in sent]
        except (TimeoutError, KafkaError) as error:
            raise PublishingError(f"positions {events[0].position}–{events[-1].position}: {error!r}") from error
        expected = list(range(self._next_offset, self._next_offset + len(events)))
        if offsets != expected:
            # Somebody else wrote, or the topic was rebuilt under the producer.
            raise PublishingError(
                f"the broker gave offsets {offsets[0]}–{offsets[-1]} instead of {expected[0]} onwards"
            )
        self._next_offset = expected[-1] + 1

    async def _send(self, event: LoggedEvent) -> asyncio.Future[RecordMetadata]:
        try:
            record = to_record(event)
            sent: asyncio.Future[RecordMetadata] = await self._kafka.send(
                self._topic, record.value, key=record.key, headers=record.headers, partition=0
            )
            return sent
        except (msgspec.DecodeError, MessageSizeTooLargeError, RecordListTooLargeError) as error:
            raise PoisonEventError(
                f"the event at position {event.position} ({event.type_name} of {event.stream}) cannot be published "
                f"({error}); nothing after it is published until it is repaired: run `rollbook audit verify`"
            ) from error


@asynccontextmanager
async def open_publisher(
    connection: KafkaConnection, topic: str, tail: Tail, *, deadline_seconds: float = DEADLINE_SECONDS
) -> AsyncIterator[Publisher]:
    """Start a producer that goes on after the tail.

    Raises:
        PublishingError: the broker does not answer.
    """
    try:
        kafka = producer(connection, client_id="relay")
    except KafkaError as error:
        raise PublishingError(str(error)) from error
    try:
        try:
            async with asyncio.timeout(deadline_seconds):
                await kafka.start()
        except (TimeoutError, KafkaError) as error:
            raise PublishingError(f"Kafka at {connection.bootstrap} does not answer ({error!r})") from error
        yield Publisher(kafka, topic, tail, deadline_seconds=deadline_seconds)
    finally:
        await abandon(kafka)
