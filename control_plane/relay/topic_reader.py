"""Opens the registry's topic for reading by offset, without a group, and closes it whatever happens."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, TopicPartition

from control_plane.relay.record import ConsumedRecord
from infra.kafka.clients import MAX_RECORD_BYTES
from infra.kafka.connection import KafkaConnection

_REQUEST_TIMEOUT_MS = 10_000
_POLL_MS = 500


@asynccontextmanager
async def open_reader(
    connection: KafkaConnection, topic: str, *, client_id: str
) -> AsyncIterator[tuple[AIOKafkaConsumer, TopicPartition]]:
    """Start a consumer of the topic's one partition; it commits nothing and reads nothing before it is positioned.

    The consumer is stopped also when its start fails or is given up, as otherwise it would keep its connections.
    """
    consumer = AIOKafkaConsumer(
        **connection.client_options(),
        client_id=client_id,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="none",
        max_partition_fetch_bytes=MAX_RECORD_BYTES,
        request_timeout_ms=_REQUEST_TIMEOUT_MS,
    )
    partition = TopicPartition(topic, 0)
    try:
        await consumer.start()
        consumer.assign([partition])
        yield consumer, partition
    finally:
        await consumer.stop()


async def poll(consumer: AIOKafkaConsumer, partition: TopicPartition, *, limit: int) -> list[ConsumedRecord]:
    """Wait for the next records, and return at most so many; the caller knows that there are some, and how long."""
    while True:
        polled = await consumer.getmany(partition, timeout_ms=_POLL_MS, max_records=limit)
        if records := polled.get(partition):
            found: list[ConsumedRecord] = records
            return found
