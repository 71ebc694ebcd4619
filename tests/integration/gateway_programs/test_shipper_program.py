import signal
from pathlib import Path

import httpx
from aiokafka import AIOKafkaConsumer

from infra.kafka.topics import TopicSpec, ensure_topics
from schemas.observations import batch_headers
from schemas.topics import REQUESTS, dead_letters_of
from tests.support.gateway import Gateway, Program, until
from tests.support.kafka_node import Node
from tests.support.records import KeepingSink
from tests.support.routing import created, shifted

ENDPOINT = "endpoint-1"
INFER = "/v2/models/digits/infer"


def shipper_program(gateway: Gateway, node: Node) -> tuple[Program, Path]:
    ready = gateway.data_dir / "shipper.ready"
    environ = {
        "ROLLBOOK_SHIPPER_DATA_DIR": str(gateway.data_dir),
        "ROLLBOOK_SHIPPER_KAFKA_BOOTSTRAP": node.bootstrap,
        "ROLLBOOK_SHIPPER_READY_FILE": str(ready),
    }
    return Program("shipper", environ, gateway.data_dir / "shipper.out"), ready


async def read_topic(node: Node) -> KeepingSink:
    """Read all batches that are in the topic, in the order of their partition."""
    sink = KeepingSink()
    consumer = AIOKafkaConsumer(REQUESTS.name, bootstrap_servers=node.bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        ends = await consumer.end_offsets(consumer.assignment())
        while any([await consumer.position(part) < end for part, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=500)).values():
                for record in records:
                    await sink.send(
                        record.topic, key=record.key.decode(), value=record.value, headers=list(record.headers)
                    )
    finally:
        await consumer.stop()
    return sink


async def test_a_killed_shipper_and_an_absent_kafka_lose_no_record(
    gateway: Gateway, client: httpx.AsyncClient, node: Node
) -> None:
    topics = (REQUESTS, dead_letters_of(REQUESTS))
    specs = [TopicSpec.of(one) for one in topics]
    await ensure_topics(node.connection, specs)
    gateway.tell(ENDPOINT, created())
    await gateway.add(ENDPOINT, "d1")
    await gateway.serves(ENDPOINT, gateway.tell(ENDPOINT, shifted(d1=[(0, 10_000)])))
    sent: set[str] = set()
    shipper, ready = shipper_program(gateway, node)

    async def send(count: int) -> None:
        for _ in range(count):
            sent.add((await client.post(INFER, json={})).headers["x-prediction-id"])

    await shipper.start()
    await until(ready.exists)
    await send(100)
    await shipper.stop(signal.SIGKILL)
    ready.unlink(missing_ok=True)
    await send(100)
    await shipper.start()
    await until(ready.exists)
    node.kill()
    await send(100)
    node.start()
    await send(100)

    async def all_there() -> bool:
        there = {row["prediction_id"] for row in (await read_topic(node)).rows.values()}
        return sent <= there

    await until(all_there, within_s=40, why="all records in the topic")
    assert await shipper.stop() == 0
    topic = await read_topic(node)
    assert [row["prediction_id"] in sent for row in topic.rows.values() if row["role"] == "primary"] == [True] * 400
    _every_source_is_whole(topic)


def _every_source_is_whole(topic: KeepingSink) -> None:
    sources: dict[str, dict[int, str]] = {}
    for header, _ in topic.batches:
        assert batch_headers(header.as_kafka()) == header
        sources.setdefault(header.source, {})[header.batch] = header.state
    assert len(sources) == 2
    for batches in sources.values():
        assert sorted(batches) == list(range(len(batches)))
        assert [state for _, state in sorted(batches.items())][-1] == "closing"
