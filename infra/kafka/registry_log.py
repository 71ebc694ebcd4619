"""A follower's reading of `registry.events.v1`: what comes after a mark, offsets in memory only."""

from collections.abc import AsyncIterator

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.structs import ConsumerRecord

from infra.errors import LogAwayError
from infra.kafka.clients import consumer_from_offset
from infra.kafka.connection import KafkaConnection
from schemas.envelope import RecordedEvent, decode
from schemas.topics import REGISTRY_EVENTS

_PARTITION = TopicPartition(REGISTRY_EVENTS.name, 0)
_POLL_MS = 500


class RegistryLog:
    """One pass over the log; after a LogAwayError it is closed and another is begun.

    The mark is set before a snapshot is taken, so nothing is lost between the two.
    """

    def __init__(self, connection: KafkaConnection, *, client_id: str) -> None:
        self._connection = connection
        self._client_id = client_id
        self._consumer: AIOKafkaConsumer | None = None

    async def mark_end(self) -> None:
        """Stand at the end: what is published from now on is read.

        Raises:
            LogAwayError: Kafka is away.
        """
        try:
            self._consumer = await consumer_from_offset(
                self._connection, client_id=self._client_id, topic=REGISTRY_EVENTS.name, offsets={0: 0}
            )
            ends = await self._consumer.end_offsets([_PARTITION])
            self._consumer.seek(_PARTITION, ends[_PARTITION])
        except (KafkaError, OSError) as error:
            raise LogAwayError(f"the log cannot be read: {error!r}") from error

    async def events(self) -> AsyncIterator[RecordedEvent]:
        """Yield what comes after the mark, in order.

        Raises:
            LogAwayError: Kafka is away.
        """
        assert self._consumer is not None, "mark_end comes first"
        try:
            while True:
                fetched = await self._consumer.getmany(timeout_ms=_POLL_MS)
                for record in fetched.get(_PARTITION, ()):
                    yield _recorded(record)
        except (KafkaError, OSError) as error:
            raise LogAwayError(f"the log cannot be read: {error!r}") from error

    async def close(self) -> None:
        """Close the connection."""
        if self._consumer is not None:
            await self._consumer.stop()


def _recorded(record: ConsumerRecord[bytes, bytes]) -> RecordedEvent:
    """Read one message. Only the relay writes here, so anything else is a broken log and ends the program."""
    try:
        position = int(dict(record.headers)["position"])
        value = record.value or b""
        return RecordedEvent(position=position, envelope=decode(value), canonical=value)
    except (KeyError, ValueError, msgspec.DecodeError) as error:
        raise RuntimeError(f"offset {record.offset} of {record.topic} holds an unknown event") from error
