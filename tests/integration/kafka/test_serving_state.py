"""Documents on a real Kafka node, read as every program reads them."""

import asyncio
import itertools
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, aclosing

import msgspec
import pytest
from aiokafka import AIOKafkaProducer

from control_plane.log.ports import LoggedDocument
from control_plane.relay.record import to_document_record
from infra.errors import LogAwayError, TopicDriftError
from infra.kafka.clients import producer
from infra.kafka.connection import KafkaConnection
from infra.kafka.serving_state import Documents, read_documents
from infra.kafka.topics import TopicSpec, ensure_topics
from infra.ports import free_port
from schemas.documents.records import Removed
from schemas.topics import SERVING_STATE
from tests.support.kafka_node import Node

DEADLINE_S = 180.0


_NUMBERS = itertools.count(1)


class Relay:
    """Writes documents to a topic of its own as a relay does, and opens readers of it."""

    def __init__(self, node: Node, client: AIOKafkaProducer, topic: str) -> None:
        self._node, self._client, self.topic = node, client, topic

    async def publish(self, position: int, identifier: str, *, is_removed: bool = False) -> None:
        document = LoggedDocument(
            kind="instance",
            id=identifier,
            workspace="default",
            position=position,
            event_id=f"event-{position}",
            is_removed=is_removed,
            stream_version=position,
            body=b"{}",
        )
        record = to_document_record(document, document_format="1")
        await self._client.send_and_wait(self.topic, record.value, key=record.key, headers=record.headers, partition=0)

    async def write(self, key: bytes, value: bytes) -> None:
        await self._client.send_and_wait(self.topic, value, key=key, partition=0)

    def read(self) -> AbstractAsyncContextManager[AsyncGenerator[Documents, None]]:
        return aclosing(read_documents(self._node.connection, client_id="reader", topic=self.topic))


@pytest.fixture
async def relay(node: Node) -> AsyncIterator[Relay]:
    topic = f"serving.state.test{next(_NUMBERS)}"
    await ensure_topics(node.connection, [msgspec.structs.replace(TopicSpec.of(SERVING_STATE), name=topic)])
    client = producer(node.connection, client_id="test-relay")
    await client.start()
    try:
        yield Relay(node, client, topic)
    finally:
        await client.stop()


async def read(documents: AsyncGenerator[Documents, None], count: int) -> list[tuple[str, int, bool]]:
    """Return id, position and whether it was there, of so many records."""
    found: list[tuple[str, int, bool]] = []
    async with asyncio.timeout(DEADLINE_S):
        while len(found) < count:
            part = await anext(documents)
            found += [(record.id, record.position, part.is_all) for record in part.records]
    return found


async def test_what_is_there_is_read_and_then_what_comes(relay: Relay) -> None:
    for position, identifier in enumerate(("i-1", "i-2", "i-1"), start=1):
        await relay.publish(position, identifier)
    async with relay.read() as documents:
        before = await read(documents, 2)
        await relay.publish(4, "i-2", is_removed=True)
        after = await read(documents, 1)

    assert before == [("i-2", 2, True), ("i-1", 3, True)]
    assert after == [("i-2", 4, False)]


async def test_of_an_empty_topic_all_is_nothing(relay: Relay) -> None:
    async with relay.read() as documents:
        async with asyncio.timeout(DEADLINE_S):
            assert await anext(documents) == Documents(records=(), is_all=True)
        await relay.publish(1, "i-1")
        assert await read(documents, 1) == [("i-1", 1, False)]


async def test_a_tombstone_is_a_document_that_was_removed(relay: Relay) -> None:
    await relay.publish(7, "i-1", is_removed=True)
    async with relay.read() as documents:
        async with asyncio.timeout(DEADLINE_S):
            part = await anext(documents)

    assert part.records == (Removed(id="i-1", position=7),)


async def test_a_record_that_no_relay_wrote_is_passed_over(relay: Relay) -> None:
    await relay.write(b"i-1", b"not json")
    await relay.publish(2, "i-2")
    async with relay.read() as documents:
        assert await read(documents, 1) == [("i-2", 2, True)]
        await relay.write(b"i-3", b"{}")
        await relay.publish(4, "i-4")
        assert await read(documents, 1) == [("i-4", 4, False)]


async def test_a_broker_that_is_away_is_told() -> None:
    nowhere = KafkaConnection(bootstrap=f"127.0.0.1:{free_port()}")
    async with aclosing(read_documents(nowhere, client_id="reader")) as documents:
        with pytest.raises(LogAwayError, match="cannot be read"):
            await anext(documents)


async def test_the_topic_is_made_as_the_contract_says(relay: Relay, node: Node) -> None:
    contract = msgspec.structs.replace(TopicSpec.of(SERVING_STATE), name=relay.topic)

    await ensure_topics(node.connection, [contract])

    assert contract.settings["cleanup.policy"] == "compact"
    wrong = contract.config | {"delete.retention.ms": "1"}
    with pytest.raises(TopicDriftError, match=r"has delete.retention.ms=2592000000 but should have 1"):
        await ensure_topics(node.connection, [msgspec.structs.replace(contract, config=wrong)])
