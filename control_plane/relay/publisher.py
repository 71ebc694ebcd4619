"""Sends messages in order, one batch in flight, and says that they are in their topics, or that it is unknown."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError, RecordListTooLargeError
from aiokafka.structs import RecordMetadata

from control_plane.relay.errors import PoisonEventError, PublishingError
from control_plane.relay.record import TopicRecord
from infra.kafka.clients import abandon, producer
from infra.kafka.connection import KafkaConnection
from schemas.documents.records import OFFSET

DEADLINE_SECONDS = 20.0


class Outgoing(msgspec.Struct, frozen=True):
    """A message on its way to a topic; `what` names it to people. Some say at which offset they are written."""

    topic: str
    record: TopicRecord
    what: str
    says_its_offset: bool = False


class Publisher:
    """A producer's life between two looks at the topics' tails; after any error it is not used again."""

    def __init__(self, kafka: AIOKafkaProducer, next_offsets: Mapping[str, int], *, deadline_seconds: float) -> None:
        self._kafka = kafka
        self._next_offsets = dict(next_offsets)
        self._deadline_seconds = deadline_seconds

    async def publish(self, messages: Sequence[Outgoing]) -> None:
        """Append messages and return when the broker has them all.

        Each is at the offset that follows the one before it in its topic.

        Raises:
            PoisonEventError: a message is too large for the broker; none after it was sent.
            PublishingError: it is unknown how many of them are in the topics.
        """
        try:
            async with asyncio.timeout(self._deadline_seconds):
                sent = [await self._send(message) for message in messages]
                for message, offset, acknowledged in sent:
                    self._compare(message, offset, (await self._acknowledged(message, acknowledged)).offset)
        except (TimeoutError, KafkaError) as error:
            raise PublishingError(f"{messages[0].what} to {messages[-1].what}: {error!r}") from error

    async def _send(self, message: Outgoing) -> tuple[Outgoing, int, asyncio.Future[RecordMetadata]]:
        record, offset = message.record, self._next_offsets[message.topic]
        self._next_offsets[message.topic] += 1
        headers = [*record.headers, (OFFSET, str(offset).encode())] if message.says_its_offset else record.headers
        try:
            sent = await self._kafka.send(message.topic, record.value, key=record.key, headers=headers, partition=0)
        except (MessageSizeTooLargeError, RecordListTooLargeError) as error:
            raise PoisonEventError(cannot_be_published(message.what, error)) from error
        return message, offset, sent

    @staticmethod
    async def _acknowledged(message: Outgoing, sent: asyncio.Future[RecordMetadata]) -> RecordMetadata:
        try:
            return await sent
        except (MessageSizeTooLargeError, RecordListTooLargeError) as error:
            raise PoisonEventError(cannot_be_published(message.what, error)) from error

    @staticmethod
    def _compare(message: Outgoing, expected: int, found: int) -> None:
        if found != expected:
            # Somebody else wrote, or the topic was rebuilt under the producer.
            raise PublishingError(f"the broker gave {message.what} offset {found} of {message.topic}, not {expected}")


def cannot_be_published(what: str, error: Exception) -> str:
    """Say what stops the relay."""
    return (
        f"{what} cannot be published ({error}); "
        "nothing after it is published until it is repaired: run `rollbook audit verify`"
    )


@asynccontextmanager
async def open_publisher(
    connection: KafkaConnection, next_offsets: Mapping[str, int], *, deadline_seconds: float = DEADLINE_SECONDS
) -> AsyncIterator[Publisher]:
    """Start a producer that goes on at an offset of each topic.

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
        yield Publisher(kafka, next_offsets, deadline_seconds=deadline_seconds)
    finally:
        await abandon(kafka)
