"""Reading `serving.state.v1`: every document as it is now, and then each change of one."""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import aclosing

import msgspec
import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.structs import ConsumerRecord

from infra.errors import LogAwayError
from infra.kafka.clients import consumer_from_offset
from infra.kafka.connection import KafkaConnection
from schemas.documents.records import NotARecordError, Removed, StateRecord, decode
from schemas.topics import SERVING_STATE

_POLL_MS = 500
_GATHER_S = 0.02
_log = structlog.get_logger(__name__)


class Documents(msgspec.Struct, frozen=True, kw_only=True):
    """What was read at once, in the order of the events that made it.

    Where `is_all`, these are the documents that there are, each once, and what is not among them is not there.
    """

    records: tuple[StateRecord | Removed, ...]
    is_all: bool

    @property
    def position(self) -> int:
        """The position of the last event that made one of them, 0 of none."""
        return max((record.position for record in self.records), default=0)


async def read_documents(
    connection: KafkaConnection, *, client_id: str, topic: str = SERVING_STATE.name, gather_s: float = _GATHER_S
) -> AsyncGenerator[Documents, None]:
    """Yield all that is on the topic, once, and then what comes, forever; a document may come a second time.

    What comes after a pause is yielded at once, and what comes within `gather_s` after that, together.

    Raises:
        LogAwayError: Kafka is away; the caller begins again.
    """
    try:
        consumer = await consumer_from_offset(connection, client_id=client_id, topic=topic, offsets={0: 0})
    except (KafkaError, OSError) as error:
        raise _away(topic, error) from error
    try:
        async for documents in _read(consumer, TopicPartition(topic, 0), gather_s=gather_s):
            yield documents
    except (KafkaError, OSError) as error:
        raise _away(topic, error) from error
    finally:
        await consumer.stop()


async def keep_reading(
    connection: KafkaConnection, *, client_id: str, retry_s: float, gather_s: float = _GATHER_S
) -> AsyncGenerator[Documents, None]:
    """Yield as `read_documents` does, and begin again whenever Kafka was away."""
    while True:
        try:
            async with aclosing(read_documents(connection, client_id=client_id, gather_s=gather_s)) as documents:
                async for read in documents:
                    yield read
        except LogAwayError as error:
            _log.warning("documents_not_followed", error=str(error), wait_s=retry_s)
        await asyncio.sleep(retry_s)


async def _read(
    consumer: AIOKafkaConsumer, partition: TopicPartition, *, gather_s: float
) -> AsyncGenerator[Documents, None]:
    yield Documents(records=await _all(consumer, partition), is_all=True)
    while True:
        fetched = await consumer.getmany(partition, timeout_ms=_POLL_MS)
        if records := fetched.get(partition, ()):
            yield Documents(records=tuple(_decoded(records)), is_all=False)
            # Each fetch costs this program and the broker as much as many records do.
            await asyncio.sleep(gather_s)


async def _all(consumer: AIOKafkaConsumer, partition: TopicPartition) -> tuple[StateRecord | Removed, ...]:
    """Read to where the topic ends now, and return the last record of each key; Kafka compacts it only now and then."""
    consumer.seek(partition, (await consumer.beginning_offsets([partition]))[partition])
    end = (await consumer.end_offsets([partition]))[partition]
    last: dict[bytes | None, ConsumerRecord[bytes, bytes]] = {}
    while await consumer.position(partition) < end:
        fetched = await consumer.getmany(partition, timeout_ms=_POLL_MS)
        for record in fetched.get(partition, ()):
            last.pop(record.key, None)
            last[record.key] = record
    return tuple(_decoded(last.values()))


def _decoded(records: Iterable[ConsumerRecord[bytes, bytes]]) -> Iterator[StateRecord | Removed]:
    for record in records:
        try:
            yield decode(record)
        except NotARecordError as error:
            # Whoever wrote it is not the relay; nothing of it may stop those who follow the rest.
            _log.error("record_passed_over", topic=record.topic, offset=record.offset, reason=str(error))


def _away(topic: str, error: Exception) -> LogAwayError:
    return LogAwayError(f"the topic {topic} cannot be read: {error!r}")
