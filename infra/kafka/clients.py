"""Kafka clients with the settings that the whole project relies on."""

from collections.abc import Mapping

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

MAXIMUM_RECORD_BYTES = 8 * 1024 * 1024
"""The broker takes no larger record; see ``message.max.bytes`` of the embedded node."""

_REQUEST_TIMEOUT_MS = 10_000
_RETRY_BACKOFF_MS = 100


def producer(bootstrap: str, *, client_id: str, linger_ms: int = 0, compression: str | None = None) -> AIOKafkaProducer:
    """Build a producer that keeps order and writes each record once while it lives.

    An idempotent producer retries for ever, so callers put their own deadline around
    ``send_and_wait``; after it the record may or may not be there. Start and stop are
    the caller's.
    """
    return AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        client_id=client_id,
        acks="all",
        enable_idempotence=True,
        linger_ms=linger_ms,
        compression_type=compression,
        max_request_size=MAXIMUM_RECORD_BYTES,
        max_batch_size=256 * 1024,
        request_timeout_ms=_REQUEST_TIMEOUT_MS,
        retry_backoff_ms=_RETRY_BACKOFF_MS,
        metadata_max_age_ms=30_000,
    )


async def consumer_from_offset(
    bootstrap: str, *, client_id: str, topic: str, offsets: Mapping[int, int], max_poll_records: int = 500
) -> AIOKafkaConsumer:
    """Start a consumer without a group that reads each given partition from its offset.

    It commits nothing: the caller keeps its own position. When an offset is out of
    range the consumer raises OffsetOutOfRangeError rather than skip records in silence.
    The caller stops it.
    """
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        client_id=client_id,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="none",
        max_poll_records=max_poll_records,
        max_partition_fetch_bytes=MAXIMUM_RECORD_BYTES,
        fetch_max_wait_ms=500,
        request_timeout_ms=_REQUEST_TIMEOUT_MS,
        retry_backoff_ms=_RETRY_BACKOFF_MS,
        metadata_max_age_ms=30_000,
    )
    try:
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
