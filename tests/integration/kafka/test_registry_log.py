"""A tail of the log on a real Kafka node."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from infra.errors import LogAwayError
from infra.kafka.clients import producer
from infra.kafka.registry_log import RegistryLog
from infra.kafka.topics import TopicSpec, ensure_topics
from schemas.envelope import RecordedEvent
from schemas.events.rollouts import RolloutPaused
from schemas.topics import REGISTRY_EVENTS
from tests.support.kafka_node import Node
from tests.support.log_story import event_at

DEADLINE_S = 60.0


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Node:
    return Node(Path(tmp_path_factory.mktemp("kafka")))


@pytest.fixture
async def relay(broker: Node) -> AsyncIterator[AIOKafkaProducer]:
    broker.start()
    spec = TopicSpec(
        name=REGISTRY_EVENTS.name, partitions=REGISTRY_EVENTS.partitions, retention_ms=REGISTRY_EVENTS.retention_ms
    )
    await ensure_topics(broker.connection, [spec])
    client = producer(broker.connection, client_id="test-relay")
    await client.start()
    try:
        yield client
    finally:
        await client.stop()
        broker.kill()


async def publish(relay: AIOKafkaProducer, position: int) -> None:
    event = event_at(position, "rollout-1", RolloutPaused(step=0, reason="wait"))
    headers = [("position", str(position).encode())]
    await relay.send_and_wait(REGISTRY_EVENTS.name, event.canonical, partition=0, headers=headers)


async def next_positions(events: AsyncIterator[RecordedEvent], count: int) -> list[int]:
    async with asyncio.timeout(DEADLINE_S):
        return [(await anext(events)).position for _ in range(count)]


async def test_the_log_is_read_from_the_mark_on_in_order(broker: Node, relay: AIOKafkaProducer) -> None:
    for position in (1, 2, 3):
        await publish(relay, position)
    log = RegistryLog(broker.connection, client_id="reader")

    await log.mark_end()
    for position in (4, 7):
        await publish(relay, position)
    events = log.events()
    first = await next_positions(events, 2)
    await publish(relay, 8)
    second = await next_positions(events, 1)
    await log.close()

    assert (first, second) == ([4, 7], [8])


async def test_a_broker_that_is_away_is_told(broker: Node) -> None:
    log = RegistryLog(broker.connection, client_id="reader")

    with pytest.raises(LogAwayError):
        await log.mark_end()
    await log.close()
