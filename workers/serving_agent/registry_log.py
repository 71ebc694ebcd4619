"""The agent's reading of `registry.events.v1`: what comes after a mark, offsets in memory only."""

from collections.abc import AsyncIterator

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from infra.kafka.clients import consumer_from_offset
from schemas.envelope import RecordedEvent, decode
from schemas.topics import REGISTRY_EVENTS
from workers.serving_agent.errors import PartAwayError

_PARTITION = TopicPartition(REGISTRY_EVENTS.name, 0)
_POLL_MS = 500


class RegistryLog:
    """One pass over the log. The mark is set before the snapshot is taken, so nothing lies between the two."""

    def __init__(self, bootstrap: str, *, client_id: str) -> None:
        self._bootstrap = bootstrap
        self._client_id = client_id
        self._consumer: AIOKafkaConsumer | None = None

    async def mark_end(self) -> None:
        """Stand at the end: what is published from now on is read.

        Raises:
            PartAwayError: Kafka is away.
        """
        try:
            self._consumer = await consumer_from_offset(
                self._bootstrap, client_id=self._client_id, topic=REGISTRY_EVENTS.name, offsets={0: 0}
            )
            ends = await self._consumer.end_offsets([_PARTITION])
            self._consumer.seek(_PARTITION, ends[_PARTITION])
        except (KafkaError, OSError) as error:
            raise PartAwayError(f"the log can't be read: {error!r}") from error

    async def events(self) -> AsyncIterator[RecordedEvent]:
        """Yield what comes after the mark, in order.

        Raises:
            PartAwayError: Kafka is away.
        """
        assert self._consumer is not None, "mark_end comes first"
        try:
            while True:
                fetched = await self._consumer.getmany(timeout_ms=_POLL_MS)
                for record in fetched.get(_PARTITION, ()):
                    yield _recorded(dict(record.headers), record.value)
        except (KafkaError, OSError) as error:
            raise PartAwayError(f"the log can't be read: {error!r}") from error

    async def close(self) -> None:
        """Close the connection."""
        if self._consumer is not None:
            await self._consumer.stop()


def _recorded(headers: dict[str, bytes], value: bytes) -> RecordedEvent:
    """Read one message. Only the relay writes here, so anything else is a broken log and ends the program."""
    try:
        return RecordedEvent(position=int(headers["position"]), envelope=decode(value), canonical=value)
    except (KeyError, ValueError, msgspec.DecodeError) as error:
        raise RuntimeError("the log holds something that is no event of ours") from error
