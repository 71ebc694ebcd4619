"""Where the topic ends: the relay's only memory of what it has published."""

import asyncio
from typing import Any

import msgspec
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from control_plane.relay.errors import PublishingError, TopicForeignError
from control_plane.relay.record import PoisonRecordError, from_record
from control_plane.relay.topic_reader import open_reader
from infra.kafka.connection import KafkaConnection

_STEP_SECONDS = 10.0
_POLL_MS = 200


class Tail(msgspec.Struct, frozen=True):
    """The offset that the next record gets, and the position of the last one; 0 and 0 for an empty topic."""

    next_offset: int
    position: int


async def read_tail(connection: KafkaConnection, topic: str) -> Tail:
    """Read the last record.

    Raises:
        PublishingError: the broker does not answer, or the topic is not there.
        TopicForeignError: the last record is not by a relay.
    """
    try:
        async with asyncio.timeout(_STEP_SECONDS):
            async with open_reader(connection, topic, client_id="relay-tail") as (consumer, partition):
                end = int((await consumer.end_offsets([partition]))[partition])
                return Tail(end, 0 if end == 0 else await _position_at(consumer, partition, end - 1))
    except (TimeoutError, KafkaError) as error:
        raise PublishingError(f"the end of topic {topic} cannot be read ({error!r})") from error
    except PoisonRecordError as error:
        raise TopicForeignError(
            f"the end of topic {topic} was not written by a relay ({error}); "
            "find out who writes there, move the topic away and start the relay again"
        ) from error


async def _position_at(consumer: Any, partition: TopicPartition, offset: int) -> int:  # noqa: ANN401  no annotations
    consumer.seek(partition, offset)
    while True:
        polled = await consumer.getmany(partition, timeout_ms=_POLL_MS, max_records=1)
        for record in polled.get(partition, []):
            return from_record(record).position
