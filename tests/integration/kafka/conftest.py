"""One real Kafka node for the tests of this folder."""

from collections.abc import Iterator

import pytest

from tests.support.kafka_node import Node, running_node


@pytest.fixture(scope="package")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with running_node(tmp_path_factory.mktemp("kafka")) as node:
        yield node
