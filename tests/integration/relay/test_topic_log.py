"""The topic, as a copy of the log."""

from collections.abc import AsyncIterator, Sequence

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient

from control_plane.log.errors import LogBrokenError, LogUnreadableError
from control_plane.log.ports import LoggedEvent, LogReader
from control_plane.relay.record import TopicRecord, to_record
from control_plane.relay.relay import Topics
from control_plane.relay.topic_log import open_topic_log
from infra.kafka.clients import producer
from tests.contracts.log_readers import EACH_PROMISE, LOG, Promise, a_log_that_was_taken_away_is_told
from tests.integration.relay.scene import DEADLINE_SECONDS
from tests.support.kafka_node import Node

SHORT_PATIENCE_SECONDS = 2.0


class PublishedLog:
    """The log in a topic."""

    def __init__(self, reader: LogReader, topic: str, kafka: AIOKafkaProducer, admin: AIOKafkaAdminClient) -> None:
        self.reader = reader
        self._topic = topic
        self._kafka = kafka
        self._admin = admin

    async def append(self, events: Sequence[LoggedEvent]) -> None:
        for event in events:
            await self.send(to_record(event))

    async def send(self, record: TopicRecord) -> None:
        await self._kafka.send_and_wait(self._topic, record.value, key=record.key, headers=record.headers)

    async def remove(self) -> None:
        await self._admin.delete_topics([self._topic])


@pytest.fixture
def patience_seconds(request: pytest.FixtureRequest) -> float:
    """Give up soon only where there is nothing to wait for."""
    is_taken_away = a_log_that_was_taken_away_is_told.__name__ in request.node.name
    return SHORT_PATIENCE_SECONDS if is_taken_away else DEADLINE_SECONDS


@pytest.fixture
async def log(
    broker: Node, topics: Topics, admin: AIOKafkaAdminClient, patience_seconds: float
) -> AsyncIterator[PublishedLog]:
    kafka = producer(broker.connection, client_id="test")
    await kafka.start()
    try:
        async with open_topic_log(broker.connection, topic=topics.events, patience_seconds=patience_seconds) as reader:
            yield PublishedLog(reader, topics.events, kafka, admin)
    finally:
        await kafka.stop()


@EACH_PROMISE
async def test_each_promise_is_kept(log: PublishedLog, promise: Promise) -> None:
    await promise(log)


async def test_an_event_that_comes_twice_is_read_twice(log: PublishedLog) -> None:
    await log.append([LOG[0], LOG[1], LOG[1], LOG[0]])

    first = await log.reader.read(after=0, limit=2)
    second = await log.reader.read(after=first[-1].position, limit=2)

    assert [*first, *second] == [LOG[0], LOG[1], LOG[1], LOG[0]]


async def test_a_record_that_no_relay_wrote_breaks_the_log(log: PublishedLog) -> None:
    await log.append(LOG[:1])
    await log.send(TopicRecord(key=b"model-1", value=b"{}", headers=[]))

    with pytest.raises(LogBrokenError, match="topic: the record at offset 1"):
        await log.reader.read(after=0, limit=10)
    with pytest.raises(LogBrokenError, match="topic: the record at offset 1"):
        await log.reader.head()


async def test_a_topic_that_is_not_there_cannot_be_read(broker: Node) -> None:
    with pytest.raises(LogUnreadableError, match=r"the topic never\.made at .* cannot be read"):
        async with open_topic_log(broker.connection, topic="never.made", patience_seconds=SHORT_PATIENCE_SECONDS):
            pass
