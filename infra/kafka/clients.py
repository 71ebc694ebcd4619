"""Kafka clients with the settings that the whole project relies on."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from infra.kafka.connection import KafkaConnection

MAX_RECORD_BYTES = 8 * 1024 * 1024
"""The broker takes no larger record; see ``message.max.bytes`` of the embedded node."""

_REQUEST_TIMEOUT_MS = 10_000
_RETRY_BACKOFF_MS = 100
_START_S = 15.0
_STOP_S = 5.0


def producer(
    connection: KafkaConnection, *, client_id: str, linger_ms: int = 0, compression: str | None = None
) -> AIOKafkaProducer:
    """Build a producer that keeps order and writes each record once while it lives.

    An idempotent producer retries forever, so callers put their own deadline around
    ``send_and_wait``; after it the record may or may not be there. The caller starts it
    with ``start_producer`` and lets go of it with ``abandon``.
    """
    return AIOKafkaProducer(
        **connection.client_options(),
        client_id=client_id,
        acks="all",
        enable_idempotence=True,
        linger_ms=linger_ms,
        compression_type=compression,
        max_request_size=MAX_RECORD_BYTES,
        max_batch_size=256 * 1024,
        request_timeout_ms=_REQUEST_TIMEOUT_MS,
        retry_backoff_ms=_RETRY_BACKOFF_MS,
        metadata_max_age_ms=30_000,
    )


async def start_producer(fresh: AIOKafkaProducer, *, within_s: float = _START_S) -> None:
    """Start a producer, or leave nothing of it.

    Raises:
        KafkaError, OSError: the broker is away, or does not answer in time.
    """
    try:
        async with asyncio.timeout(within_s):
            await fresh.start()
    except BaseException:
        await abandon(fresh)
        raise


async def abandon(started: AIOKafkaProducer) -> None:
    """End a producer without its flush: an idempotent one would try forever to send what its caller has given up.

    Its own `stop` would leave a task that waits for the unsent, so this does what is left of it.
    """
    sender = started._sender.sender_task if started._sender is not None else None  # noqa: SLF001  no public way
    started._closed = True  # noqa: SLF001
    if sender is not None:
        sender.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await sender
    with suppress(TimeoutError, KafkaError, OSError):
        async with asyncio.timeout(_STOP_S):
            await started.client.close()


async def consumer_from_offset(
    connection: KafkaConnection, *, client_id: str, topic: str, offsets: Mapping[int, int], max_poll_records: int = 500
) -> AIOKafkaConsumer:
    """Start a consumer without a group that reads each given partition from its offset.

    It commits nothing: the caller keeps its own position. When an offset is out of
    range the consumer raises OffsetOutOfRangeError rather than skip records in silence.
    The caller stops it.

    Raises:
        KafkaError, OSError: the broker is away, or does not answer in time.
    """
    consumer = AIOKafkaConsumer(
        **connection.client_options(),
        client_id=client_id,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="none",
        max_poll_records=max_poll_records,
        max_partition_fetch_bytes=MAX_RECORD_BYTES,
        fetch_max_wait_ms=500,
        request_timeout_ms=_REQUEST_TIMEOUT_MS,
        retry_backoff_ms=_RETRY_BACKOFF_MS,
        metadata_max_age_ms=30_000,
    )
    try:
        async with asyncio.timeout(_START_S):
            await consumer.start()
    except BaseException:
        # A start that failed half-way holds a connection and a task.
        await consumer.stop()
        raise
    partitions = {number: TopicPartition(topic, number) for number in offsets}
    consumer.assign(list(partitions.values()))
    for number, offset in offsets.items():
        consumer.seek(partitions[number], offset)
    return consumer
