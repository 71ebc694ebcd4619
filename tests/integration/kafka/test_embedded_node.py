import subprocess
from pathlib import Path

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import OffsetOutOfRangeError

from infra.errors import TopicDriftError
from infra.kafka.clients import consumer_from_offset, producer
from infra.kafka.connection import KafkaConnection
from infra.kafka.topics import TopicSpec, ensure_topics
from infra.launch import launched
from tests.support.kafka_node import Node

RECORDS = 500


async def produce(bootstrap: str, topic: str, *, count: int) -> None:
    sender = producer(KafkaConnection(bootstrap=bootstrap), client_id="test")
    await sender.start()
    try:
        for number in range(count):
            await sender.send_and_wait(topic, str(number).encode(), key=b"k")
    finally:
        await sender.stop()


async def read(bootstrap: str, topic: str, *, offset: int, count: int) -> list[int]:
    consumer = await consumer_from_offset(
        KafkaConnection(bootstrap=bootstrap), client_id="test", topic=topic, offsets={0: offset}
    )
    try:
        return [int((await consumer.getone()).value) for _ in range(count)]
    finally:
        await consumer.stop()


async def test_no_acknowledged_record_is_lost_when_the_node_is_killed(node: Node) -> None:
    await ensure_topics(node.connection, [TopicSpec(name="kept", partitions=1, retention_ms=-1)])
    await produce(node.bootstrap, "kept", count=RECORDS)

    node.kill()
    node.start()
    # The node answers before it leads its partitions again; the check of the topics waits for that.
    await ensure_topics(node.connection, [TopicSpec(name="kept", partitions=1, retention_ms=-1)])

    assert await read(node.bootstrap, "kept", offset=0, count=RECORDS) == list(range(RECORDS))


def test_a_node_reads_its_classes_from_the_archive(node: Node) -> None:
    assert node.process is not None
    mapped = Path(f"/proc/{node.process.pid}/maps").read_text()

    # Java's own classes and, above them, those of Kafka.
    assert len({line.split()[-1] for line in mapped.splitlines() if line.endswith(".jsa")}) == 2


async def test_reading_starts_at_the_given_offset(node: Node) -> None:
    await ensure_topics(node.connection, [TopicSpec(name="middle", partitions=1, retention_ms=-1)])
    await produce(node.bootstrap, "middle", count=10)

    assert await read(node.bootstrap, "middle", offset=7, count=3) == [7, 8, 9]


async def test_an_offset_that_is_gone_is_an_error_and_not_a_jump(node: Node) -> None:
    await ensure_topics(node.connection, [TopicSpec(name="short", partitions=1, retention_ms=-1)])
    await produce(node.bootstrap, "short", count=1)
    consumer = await consumer_from_offset(node.connection, client_id="test", topic="short", offsets={0: 99})

    try:
        with pytest.raises(OffsetOutOfRangeError):
            await consumer.getone()
    finally:
        await consumer.stop()


async def test_topics_can_be_ensured_again(node: Node) -> None:
    spec = TopicSpec(name="again", partitions=3, retention_ms=3_600_000, config={"segment.ms": "600000"})

    await ensure_topics(node.connection, [spec])
    await ensure_topics(node.connection, [spec])

    consumer = await consumer_from_offset(node.connection, client_id="test", topic="again", offsets={0: 0, 1: 0, 2: 0})
    try:
        ends = await consumer.end_offsets([TopicPartition("again", number) for number in range(3)])
    finally:
        await consumer.stop()
    assert set(ends.values()) == {0}


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (TopicSpec(name="drift", partitions=2, retention_ms=1_000), "has 1 partitions but should have 2"),
        (TopicSpec(name="drift", partitions=1, retention_ms=-1), "has retention.ms=1000 but should have -1"),
        (
            TopicSpec(name="drift", partitions=1, retention_ms=1_000, config={"cleanup.policy": "compact"}),
            "has cleanup.policy=delete but should have compact",
        ),
    ],
)
async def test_a_topic_of_another_shape_is_refused(node: Node, other: TopicSpec, reason: str) -> None:
    await ensure_topics(node.connection, [TopicSpec(name="drift", partitions=1, retention_ms=1_000)])

    with pytest.raises(TopicDriftError, match=reason):
        await ensure_topics(node.connection, [other])


async def test_an_absent_broker_ends_at_the_deadline() -> None:
    with pytest.raises(TimeoutError):
        await ensure_topics(
            KafkaConnection(bootstrap="127.0.0.1:9"),
            [TopicSpec(name="x", partitions=1, retention_ms=1)],
            timeout_seconds=0.5,
        )


def run_node(environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(launched("kafka"), env=environment, capture_output=True, text=True, timeout=180, check=False)


def test_a_taken_port_is_one_sentence(node: Node) -> None:
    refused = run_node(node.environment())

    assert refused.returncode == 78
    assert f"port {node.port}, needed for Kafka, is taken; stop the program" in refused.stderr


def test_an_old_java_is_one_sentence(tmp_path: Path) -> None:
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\" 2019' >&2\n")
    java.chmod(0o755)

    refused = run_node({**Node(tmp_path / "data").environment(), "JAVA_HOME": str(tmp_path)})

    assert refused.returncode == 78
    assert "JAVA_HOME points to Java 11, but Kafka needs 17 or newer; point JAVA_HOME" in refused.stderr
