"""Reading `serving.state.v1`: every document as it is now, and then each change of one."""

from collections.abc import AsyncGenerator

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from infra.errors import LogAwayError
from infra.kafka.clients import consumer_from_offset
from infra.kafka.connection import KafkaConnection
from schemas.documents.records import Removed, StateRecord, decode
from schemas.topics import SERVING_STATE

_POLL_MS = 500


class Documents(msgspec.Struct, frozen=True, kw_only=True):
    """What was read at once, in the order of the events that made it.

    `is_whole` says that, with those before, all is there that was on the topic when the reading began.
    """

    records: tuple[StateRecord | Removed, ...]
    is_whole: bool


async def read_documents(
    connection: KafkaConnection, *, client_id: str, topic: str = SERVING_STATE.name
) -> AsyncGenerator[Documents, None]:
    """Yield what is on the topic from its beginning, and what comes, forever; a document may come a second time.

    Nothing of a document that was removed more than 30 days ago is on the topic (see `SERVING_STATE`).

    Raises:
        LogAwayError: Kafka is away; the caller begins again.
        NotARecordError: a record was not written by the relay, so a person must look at the topic.
    """
    try:
        consumer = await consumer_from_offset(connection, client_id=client_id, topic=topic, offsets={0: 0})
    except (KafkaError, OSError) as error:
        raise _away(topic, error) from error
    try:
        async for documents in _read(consumer, TopicPartition(topic, 0)):
            yield documents
    except (KafkaError, OSError) as error:
        raise _away(topic, error) from error
    finally:
        await consumer.stop()


async def _read(consumer: AIOKafkaConsumer, partition: TopicPartition) -> AsyncGenerator[Documents, None]:
    consumer.seek(partition, (await consumer.beginning_offsets([partition]))[partition])
    end = (await consumer.end_offsets([partition]))[partition]
    is_whole = False
    while True:
        fetched = await consumer.getmany(partition, timeout_ms=_POLL_MS)
        records = tuple(decode(record) for record in fetched.get(partition, ()))
        was_whole, is_whole = is_whole, is_whole or await consumer.position(partition) >= end
        if records or is_whole != was_whole:
            yield Documents(records=records, is_whole=is_whole)


def _away(topic: str, error: Exception) -> LogAwayError:
    return LogAwayError(f"the topic {topic} cannot be read: {error!r}")
