"""Kafka with the topics, and ClickHouse: the stack's own programs without the rest."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from benchmarks.programs import running
from infra.kafka.connection import KafkaConnection
from infra.kafka.topics import TopicSpec, ensure_topics
from infra.ports import free_ports, is_free
from infra.stack.addresses import LOOPBACK
from schemas.topics import TOPICS


class Neighbours(msgspec.Struct, frozen=True, kw_only=True):
    """Where Kafka and ClickHouse answer, and the processes that share the work."""

    bootstrap: str
    clickhouse_url: str
    kafka_pid: int
    clickhouse_pid: int


@contextmanager
def running_neighbours(folder: Path) -> Iterator[Neighbours]:
    """Run both on a folder until the block is left."""
    kafka, controller, clickhouse = free_ports(3)
    of_kafka = {
        "HOST": LOOPBACK,
        "PORT": str(kafka),
        "CONTROLLER_PORT": str(controller),
        "DATA_DIR": str(folder / "kafka"),
    }
    of_clickhouse = {"HOST": LOOPBACK, "PORT": str(clickhouse), "DATA_DIR": str(folder / "clickhouse")}
    with (
        running("kafka", of_kafka, is_ready=lambda: not is_free(kafka)) as kafka_pid,
        running("clickhouse", of_clickhouse, is_ready=lambda: not is_free(clickhouse)) as clickhouse_pid,
    ):
        bootstrap = f"{LOOPBACK}:{kafka}"
        asyncio.run(ensure_topics(KafkaConnection(bootstrap=bootstrap), [TopicSpec.of(one) for one in TOPICS]))
        yield Neighbours(
            bootstrap=bootstrap,
            clickhouse_url=f"http://default@{LOOPBACK}:{clickhouse}/default",
            kafka_pid=kafka_pid,
            clickhouse_pid=clickhouse_pid,
        )
