"""Where the topics end: the relay's only memory of what it has published.

The last record of a compacted topic stays, too: Kafka compacts no segment that is still written to.
"""

import asyncio

import msgspec
import structlog
from aiokafka.errors import KafkaError

from control_plane.relay.errors import PublishingError, TopicForeignError
from control_plane.relay.record import ConsumedRecord, PoisonRecordError, from_record
from control_plane.relay.topic_reader import open_reader, poll
from infra.kafka.connection import KafkaConnection
from schemas.documents import records

_STEP_SECONDS = 10.0
_log = structlog.get_logger(__name__)


class Tail(msgspec.Struct, frozen=True):
    """The offset that the next record gets, and the position of the last one; 0 and 0 for an empty topic."""

    next_offset: int
    position: int


class DocumentsTail(msgspec.Struct, frozen=True):
    """The same of the topic of documents, with the event of the last one and the format that it is in.

    Position 0 stands for a topic that is empty or does not end as a relay leaves it: it was made anew while a relay
    wrote to it, or somebody else did. Then all documents have to be written again.
    """

    next_offset: int
    position: int
    event_id: str = ""
    document_format: str = ""


async def read_tail(connection: KafkaConnection, topic: str) -> Tail:
    """Read the last event of a topic.

    Raises:
        PublishingError: the broker does not answer, or the topic is not there.
        TopicForeignError: the last record is not by a relay.
    """
    next_offset, last = await _last_record(connection, topic)
    try:
        return Tail(next_offset, 0 if last is None else from_record(last).position)
    except PoisonRecordError as error:
        raise _foreign(topic, error) from error


async def read_documents_tail(connection: KafkaConnection, topic: str) -> DocumentsTail:
    """Read the last document of a topic.

    Raises:
        PublishingError: the broker does not answer, or the topic is not there.
    """
    next_offset, last = await _last_record(connection, topic)
    if last is None:
        return DocumentsTail(next_offset, 0)
    try:
        headers = {name: value.decode() for name, value in last.headers}
        position, offset = int(headers[records.POSITION]), int(headers[records.OFFSET])
        event_id, document_format = headers[records.EVENT_ID], headers[records.FORMAT]
    except (KeyError, ValueError) as error:
        _log.error("documents_end_with_a_foreign_record", topic=topic, reason=repr(error))
        return DocumentsTail(next_offset, 0)
    if offset != last.offset:
        _log.warning("documents_were_made_anew", topic=topic, offset=last.offset, written_at=offset)
        return DocumentsTail(next_offset, 0)
    return DocumentsTail(next_offset, position, event_id, document_format)


async def _last_record(connection: KafkaConnection, topic: str) -> tuple[int, ConsumedRecord | None]:
    try:
        async with asyncio.timeout(_STEP_SECONDS):
            async with open_reader(connection, topic, client_id="relay-tail") as (consumer, partition):
                end = int((await consumer.end_offsets([partition]))[partition])
                if end == 0:
                    return end, None
                consumer.seek(partition, end - 1)
                (last,) = await poll(consumer, partition, limit=1)
                return end, last
    except (TimeoutError, KafkaError) as error:
        raise PublishingError(f"the end of topic {topic} cannot be read ({error!r})") from error


def _foreign(topic: str, error: Exception) -> TopicForeignError:
    return TopicForeignError(
        f"the end of topic {topic} was not written by a relay ({error}); "
        "find out who writes there, move the topic away and start the relay again"
    )
