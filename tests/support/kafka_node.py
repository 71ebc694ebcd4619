"""A real Kafka node for a folder of tests, as a process that can be killed."""

import asyncio
import os
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient

from infra.kafka.connection import KafkaConnection
from infra.kafka.topics import TopicSpec, ensure_topics
from infra.launch import launched
from infra.ports import free_ports
from infra.stack.addresses import LOOPBACK
from schemas.topics import Topic

READY_SECONDS = 180


class Node:
    """A node that can be killed and started again on the same folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, self.controller_port = free_ports(2)
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    @property
    def connection(self) -> KafkaConnection:
        return KafkaConnection(bootstrap=self.bootstrap)

    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "ROLLBOOK_KAFKA_HOST": LOOPBACK,
            "ROLLBOOK_KAFKA_PORT": str(self.port),
            "ROLLBOOK_KAFKA_CONTROLLER_PORT": str(self.controller_port),
            "ROLLBOOK_KAFKA_DATA_DIR": str(self.folder),
        }

    def start(self) -> None:
        self.process = subprocess.Popen(launched("kafka"), env=self.environment())
        deadline = time.monotonic() + READY_SECONDS
        while not self._answers():
            assert self.process.poll() is None, f"the node ended with {self.process.returncode}"
            assert time.monotonic() < deadline, "the node is not ready in time"
            time.sleep(0.05)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(timeout=180)

    def stop(self) -> None:
        assert self.process is not None
        self.process.terminate()
        try:
            self.process.wait(timeout=180)
        except subprocess.TimeoutExpired:
            self.kill()

    def _answers(self) -> bool:
        try:
            socket.create_connection((LOOPBACK, self.port), 1).close()
        except OSError:
            return False
        return True


@contextmanager
def running_node(folder: Path, *, topics: Sequence[Topic] = ()) -> Iterator[Node]:
    """Run a node that has these topics until the block is left."""
    node = Node(folder)
    try:
        node.start()
        specs = [TopicSpec.of(one) for one in topics]
        if specs:
            asyncio.run(ensure_topics(node.connection, specs))
        yield node
    finally:
        node.stop()


async def make_anew(node: Node, topic: Topic) -> None:
    """Have an empty topic, whatever was there before."""
    admin = AIOKafkaAdminClient(bootstrap_servers=node.bootstrap)
    await admin.start()
    try:
        deadline = time.monotonic() + READY_SECONDS
        if topic.name in await admin.list_topics():
            await admin.delete_topics([topic.name])
        while topic.name in await admin.list_topics():
            assert time.monotonic() < deadline, f"{topic.name} is not deleted in time"
            await asyncio.sleep(0.05)
    finally:
        await admin.close()
    await ensure_topics(node.connection, [TopicSpec.of(topic)])
