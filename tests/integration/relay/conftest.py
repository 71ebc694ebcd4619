"""One real Kafka node for the tests of this folder; each test gets a topic of its own."""

import itertools
from collections.abc import AsyncIterator, Iterator

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from tests.support.kafka_node import Node, running_node

_NUMBERS = itertools.count(1)


@pytest.fixture(scope="package")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with running_node(tmp_path_factory.mktemp("kafka")) as node:
        yield node


@pytest.fixture
async def admin(broker: Node) -> AsyncIterator[AIOKafkaAdminClient]:
    client = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    await client.start()
    try:
        yield client
    finally:
        await client.close()


@pytest.fixture
async def topic(admin: AIOKafkaAdminClient) -> str:
    name = f"registry.events.test{next(_NUMBERS)}"
    await admin.create_topics([NewTopic(name, 1, 1)])
    return name
