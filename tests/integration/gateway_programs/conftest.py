"""The gateway's programs between a real Envoy and a Kafka node that they share."""

from collections.abc import Iterator

import pytest

from tests.integration.gateway.conftest import client, gateway
from tests.support.kafka_node import Node, running_node

__all__ = ["client", "gateway"]


@pytest.fixture(scope="package")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with running_node(tmp_path_factory.mktemp("kafka")) as node:
        yield node
