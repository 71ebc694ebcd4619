"""Clients of a broker that takes connections and never answers, as one that is stopped or overwhelmed does."""

import asyncio
import gc
import signal
import socket
from collections.abc import Iterator

import pytest

from infra.kafka import clients
from infra.kafka.clients import abandon, producer, start_producer
from infra.kafka.connection import KafkaConnection
from infra.kafka.topics import TopicSpec, ensure_topics
from schemas.topics import REQUESTS
from serving.gateway.request_shipper import KafkaSink as ShipperSink
from tests.support.kafka_node import Node
from workers.serving_agent.batch_sink import KafkaSink as AgentSink

# aiokafka leaves a connection whose opening is given up to the garbage collector, which says so.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
SOON_S = 0.3
DEADLINE_S = 180.0


@pytest.fixture(autouse=True)
def patient_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no request end by itself within a test, so that one who waits for its end hangs."""
    monkeypatch.setattr(clients, "_REQUEST_TIMEOUT_MS", 3_600_000)


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
        listening.settimeout(0)
        yield listening
        gc.collect()


@pytest.fixture
def mute_broker(listening: socket.socket) -> str:
    """Let the kernel take the connections, and say nothing."""
    return f"127.0.0.1:{listening.getsockname()[1]}"


async def test_a_producer_gives_up_on_a_broker_that_does_not_answer(mute_broker: str) -> None:
    fresh = producer(KafkaConnection(bootstrap=mute_broker), client_id="test")

    async with asyncio.timeout(DEADLINE_S):
        with pytest.raises(TimeoutError):
            await start_producer(fresh, within_s=SOON_S)


async def test_a_consumer_gives_up_on_a_broker_that_does_not_answer(
    mute_broker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients, "_START_S", SOON_S)

    async with asyncio.timeout(DEADLINE_S):
        with pytest.raises(TimeoutError):
            await clients.consumer_from_offset(
                KafkaConnection(bootstrap=mute_broker), client_id="test", topic=REQUESTS.name, offsets={0: 0}
            )


@pytest.mark.parametrize("sink_of", [lambda at: AgentSink(at, client_id="test"), ShipperSink], ids=["agent", "shipper"])
async def test_a_sink_that_is_told_to_end_ends_though_the_broker_does_not_answer(
    sink_of: type[ShipperSink], listening: socket.socket, mute_broker: str
) -> None:
    sink, before = sink_of(KafkaConnection(bootstrap=mute_broker)), asyncio.all_tasks()
    sending = asyncio.create_task(sink.send(REQUESTS.name, key="k", value=b"v", headers=[]))
    async with asyncio.timeout(DEADLINE_S):
        connection, _ = await asyncio.get_running_loop().sock_accept(listening)
        # Its first request has come, so it waits for the answer.
        await asyncio.get_running_loop().sock_recv(connection, 1)

        sending.cancel()
        await asyncio.wait({sending})
        await sink.close()
    connection.close()

    assert asyncio.all_tasks() == before


async def test_an_abandoned_producer_lets_go_of_what_it_could_not_send(node: Node) -> None:
    await ensure_topics(node.connection, [TopicSpec(name=REQUESTS.name, partitions=1, retention_ms=-1)])
    started = producer(node.connection, client_id="test")
    await start_producer(started)
    await started.send_and_wait(REQUESTS.name, b"value")
    before = asyncio.all_tasks()
    assert node.process is not None
    node.process.send_signal(signal.SIGSTOP)
    try:
        unsent = await started.send(REQUESTS.name, b"value")
        async with asyncio.timeout(DEADLINE_S):
            await abandon(started)
    finally:
        node.process.send_signal(signal.SIGCONT)

    assert not unsent.done()
    assert asyncio.all_tasks() <= before
