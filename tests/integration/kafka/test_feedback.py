"""Feedback reaches the real broker before it is acknowledged, and an outage of the broker is told in time."""

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest
from aiokafka.errors import KafkaError

from control_plane.feedback.publisher import FeedbackPublisher, KafkaAwayError
from infra.kafka import clients
from infra.kafka.clients import consumer_from_offset
from infra.kafka.connection import KafkaConnection
from infra.kafka.topics import TopicSpec, ensure_topics
from infra.ports import free_port
from infra.stack.addresses import LOOPBACK
from schemas.observations import Feedback
from schemas.topics import FEEDBACK
from tests.support.kafka_node import Node


@pytest.fixture
async def bootstrap(node: Node) -> str:
    topic = TopicSpec(name=FEEDBACK.name, partitions=FEEDBACK.partitions, retention_ms=FEEDBACK.retention_ms)
    await ensure_topics(node.connection, [topic])
    return node.bootstrap


@pytest.fixture
async def silent_broker() -> AsyncIterator[str]:
    """A port that takes connections and never answers."""
    released = asyncio.Event()

    async def hold(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await released.wait()
        writer.close()

    server = await asyncio.start_server(hold, LOOPBACK, 0)
    yield f"{LOOPBACK}:{server.sockets[0].getsockname()[1]}"
    released.set()
    server.close()
    await server.wait_closed()


def feedback(number: int) -> Feedback:
    return Feedback(
        workspace="default",
        prediction_id=f"1700000000000-01234567-89ab-4cde-8f01-{number:012x}",
        source="api",
        name="label",
        value=str(number),
        observed_at_ms=1_700_000_000_000,
        received_at_ms=1_700_000_000_000,
    )


async def read_all(bootstrap: str, *, count: int) -> dict[str, Feedback]:
    offsets = dict.fromkeys(range(FEEDBACK.partitions), 0)
    consumer = await consumer_from_offset(
        KafkaConnection(bootstrap=bootstrap), client_id="test", topic=FEEDBACK.name, offsets=offsets
    )
    found: dict[str, Feedback] = {}
    try:
        async with asyncio.timeout(60):
            while len(found) < count:
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    found |= {each.key.decode(): msgspec.json.decode(each.value, type=Feedback) for each in records}
    finally:
        await consumer.stop()
    return found


async def test_each_item_is_one_message_under_its_prediction(bootstrap: str) -> None:
    items = [feedback(number) for number in range(1_000)]
    publisher = FeedbackPublisher(KafkaConnection(bootstrap=bootstrap), deadline_s=20)
    try:
        await publisher.publish(items[:1])
        await asyncio.gather(publisher.publish(items[1:500]), publisher.publish(items[500:]))
    finally:
        await publisher.close()

    assert await read_all(bootstrap, count=len(items)) == {item.prediction_id: item for item in items}


async def test_a_broker_that_never_answers_is_told_at_the_deadline(
    silent_broker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The request itself would wait longer than the test has time.
    monkeypatch.setattr(clients, "_REQUEST_TIMEOUT_MS", 3_600_000)
    publisher = FeedbackPublisher(KafkaConnection(bootstrap=silent_broker), deadline_s=0.5)

    with pytest.raises(KafkaAwayError) as told:
        await publisher.publish([feedback(1)])
    await publisher.close()

    assert isinstance(told.value.__cause__, TimeoutError)


async def test_a_broker_that_is_away_is_told_before_the_deadline() -> None:
    publisher = FeedbackPublisher(KafkaConnection(bootstrap=f"{LOOPBACK}:{free_port()}"), deadline_s=3_600)

    with pytest.raises(KafkaAwayError) as told:
        await publisher.publish([feedback(1)])
    await publisher.close()

    assert isinstance(told.value.__cause__, KafkaError)
