"""One real Kafka node for the tests of this folder; each test gets a topic of its own."""

import itertools
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from infra.ports import LOOPBACK, free_ports

READY_SECONDS = 90
_NUMBERS = itertools.count(1)


class Broker:
    """A node that can be killed and started again on the same folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port, self._controller_port = free_ports(2)
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap(self) -> str:
        return f"{LOOPBACK}:{self._port}"

    def start(self) -> None:
        environment = {
            **os.environ,
            "ROLLBOOK_KAFKA_PORT": str(self._port),
            "ROLLBOOK_KAFKA_CONTROLLER_PORT": str(self._controller_port),
            "ROLLBOOK_KAFKA_DATA_DIR": str(self._folder),
        }
        code = "import sys; from infra.kafka.embedded import main; sys.exit(main())"
        self.process = subprocess.Popen([sys.executable, "-c", code], env=environment)
        deadline = time.monotonic() + READY_SECONDS
        while not self._answers():
            assert self.process.poll() is None, f"the node ended with {self.process.returncode}"
            assert time.monotonic() < deadline, "the node is not ready in time"
            time.sleep(0.05)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(timeout=20)

    def _answers(self) -> bool:
        try:
            socket.create_connection((LOOPBACK, self._port), 1).close()
        except OSError:
            return False
        return True


@pytest.fixture(scope="package")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    running = Broker(tmp_path_factory.mktemp("kafka"))
    try:
        running.start()
        yield running
    finally:
        running.kill()


@pytest.fixture
async def admin(broker: Broker) -> AsyncIterator[AIOKafkaAdminClient]:
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
