"""Reads what a topic holds once more, apart from the sink that consumes it."""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import OffsetOutOfRangeError

from infra.kafka.connection import KafkaConnection
from projections.errors import TopicMovedOnError
from projections.messages import Message
from schemas.topics import Topic

_MAX_MESSAGES = 500
_FETCH_TIMEOUT_MS = 1_000

Span = Mapping[int, tuple[int, int]]
"""Of a topic, by partition: the first offset that was read and the one after the last."""


async def span_of(connection: KafkaConnection, topic: Topic) -> Span:
    """Return what a topic holds now."""
    async with _consumer(connection) as consumer:
        partitions = [TopicPartition(topic.name, number) for number in range(topic.partitions)]
        begin, end = await consumer.beginning_offsets(partitions), await consumer.end_offsets(partitions)
        return {one.partition: (begin[one], end[one]) for one in partitions}


async def messages_of(connection: KafkaConnection, topic: str, span: Span) -> AsyncIterator[list[Message]]:
    """Yield the messages of a topic, in lists of one partition each.

    Raises:
        TopicMovedOnError: retention took messages that were still to be read.
    """
    todo = {TopicPartition(topic, number): end for number, (begin, end) in span.items() if begin < end}
    if not todo:
        return
    async with _consumer(connection) as consumer:
        consumer.assign(list(todo))
        for one in todo:
            consumer.seek(one, span[one.partition][0])
        while todo:
            for one, records in (await _fetched(consumer, todo)).items():
                wanted = [record for record in records if record.offset < todo[one]]
                if wanted:
                    yield [_message(record) for record in wanted]
                if records and records[-1].offset + 1 >= todo[one]:
                    del todo[one]


@asynccontextmanager
async def _consumer(connection: KafkaConnection) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(
        **connection.client_options(),
        enable_auto_commit=False,
        max_partition_fetch_bytes=2**23,
        # Not to the end: what is skipped would be missing from a table that takes the place of one that has it.
        auto_offset_reset="none",
    )
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()


async def _fetched(
    consumer: AIOKafkaConsumer, partitions: Iterable[TopicPartition]
) -> dict[TopicPartition, list[ConsumerRecord]]:
    try:
        fetched: dict[TopicPartition, list[ConsumerRecord]] = await consumer.getmany(
            *partitions, timeout_ms=_FETCH_TIMEOUT_MS, max_records=_MAX_MESSAGES
        )
    except OffsetOutOfRangeError as error:
        raise TopicMovedOnError(
            "retention took messages from a topic while it was read; no table was changed: run this again"
        ) from error
    return fetched


def _message(record: ConsumerRecord) -> Message:
    return Message(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        timestamp_ms=record.timestamp,
        key=record.key,
        value=record.value,
        headers=tuple(record.headers),
    )
