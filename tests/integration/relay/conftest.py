"""One real Kafka node for the tests of this folder; each test gets topics of its own."""

import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from aiokafka.admin import AIOKafkaAdminClient

from control_plane.event_feed.commits import Commits
from control_plane.event_store.log_file import open_log_file
from control_plane.relay.relay import Topics
from infra.kafka.topics import TopicSpec, ensure_topics
from schemas.topics import REGISTRY_EVENTS, SERVING_STATE
from tests.contracts.stores import open_sqlite
from tests.integration.relay.scene import Scene
from tests.support.fakes import FakeClock
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
async def topics(broker: Node) -> Topics:
    number = next(_NUMBERS)
    topics = Topics(events=f"registry.events.test{number}", documents=f"serving.state.test{number}")
    contract = {REGISTRY_EVENTS: topics.events, SERVING_STATE: topics.documents}
    specs = [msgspec.structs.replace(TopicSpec.of(topic), name=name) for topic, name in contract.items()]
    await ensure_topics(broker.connection, specs)
    return topics


@pytest.fixture
async def scene(tmp_path: Path, broker: Node, topics: Topics) -> AsyncIterator[Scene]:
    commits = Commits(tmp_path / "relay.sock")
    async with open_sqlite(tmp_path, FakeClock(), _Heads(commits.committed)) as store:
        with open_log_file(tmp_path / "registry.sqlite") as log:
            yield Scene(tmp_path, broker=broker, topics=topics, store=store, log=log)
    commits.close()


class _Heads(list[int]):
    def __init__(self, committed: Callable[[int], None]) -> None:
        super().__init__()
        self._committed = committed

    def append(self, head: int) -> None:
        self._committed(head)
