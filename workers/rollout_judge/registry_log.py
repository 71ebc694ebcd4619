"""The judge's reading of `registry.events.v1`: from the end on, offsets in memory only."""

from collections.abc import AsyncIterator

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.structs import ConsumerRecord

from infra.kafka.clients import MAXIMUM_RECORD_BYTES
from schemas.envelope import RecordedEvent, decode
from schemas.topics import REGISTRY_EVENTS
from workers.rollout_judge.errors import PartAwayError

_PARTITION = TopicPartition(REGISTRY_EVENTS.name, 0)
_POSITION_HEADER = "position"
_POLL_MS = 500
_REQUEST_TIMEOUT_MS = 10_000


class RegistryLog:
    """One pass over the log; after a PartAwayError it is closed and another is begun."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._consumer: AIOKafkaConsumer | None = None

    async def mark_end(self) -> None:
        """Stand at the end: what is published from now on is read."""
        # Kept before it is started, so that a start that fails is closed too.
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap,
            client_id="rollout-judge",
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            max_partition_fetch_bytes=MAXIMUM_RECORD_BYTES,
            request_timeout_ms=_REQUEST_TIMEOUT_MS,
        )
        try:
            await self._consumer.start()
            self._consumer.assign([_PARTITION])
            ends = await self._consumer.end_offsets([_PARTITION])
            self._consumer.seek(_PARTITION, ends[_PARTITION])
        except KafkaError as error:
            raise PartAwayError(f"the log can not be read: {error!r}") from error

    async def events(self) -> AsyncIterator[RecordedEvent]:
        """Yield what comes after the mark, in order."""
        assert self._consumer is not None, "mark_end comes first"
        try:
            while True:
                batches = await self._consumer.getmany(timeout_ms=_POLL_MS)
                for record in batches.get(_PARTITION, ()):
                    yield _recorded(record)
        except KafkaError as error:
            raise PartAwayError(f"the log can not be read: {error!r}") from error

    async def close(self) -> None:
        """Close the connection."""
        if self._consumer is not None:
            await self._consumer.stop()


def _recorded(record: ConsumerRecord) -> RecordedEvent:
    """Read one message. Only the relay writes here, so anything else is a broken log and ends the program."""
    headers = dict(record.headers)
    try:
        position = int(headers[_POSITION_HEADER])
        return RecordedEvent(position=position, envelope=decode(record.value), canonical=record.value)
    except (KeyError, ValueError, msgspec.DecodeError) as error:
        raise RuntimeError(f"offset {record.offset} of {record.topic} holds no event of ours") from error
