"""The gateway's programs between a real Envoy and a Kafka node that they share."""

from collections.abc import Iterator

import pytest

from tests.integration.gateway.conftest import client, gateway
from tests.integration.kafka.conftest import Node

__all__ = ["client", "gateway"]


@pytest.fixture(scope="package")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    running = Node(tmp_path_factory.mktemp("kafka"))
    try:
        running.start()
        yield running
    finally:
        running.stop()
