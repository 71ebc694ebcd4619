import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from aiokafka import AIOKafkaProducer

from infra.kafka.clients import producer
from schemas.events.endpoints import DeploymentPlaced
from schemas.topics import SERVING_STATE
from tests.support.documents import message_of
from tests.support.fake_control_plane import FakeControlPlane
from tests.support.gateway import BackEnd, Ports, Program, Tokens, envoy_program, is_ready, until
from tests.support.kafka_node import Node, make_anew
from tests.support.plain_http import NO_AUTHORITIES
from tests.support.routing import Log, added, announced, created, shifted, withdrawn

ENDPOINT = "endpoint-1"
INFER = "/v2/models/digits/infer"


class Plant:
    """Follower, Envoy and Kafka are real; the control plane is a fake that can be away."""

    def __init__(self, data_dir: Path, node: Node) -> None:
        self.data_dir = data_dir
        self.node = node
        self.ports = Ports()
        self.tokens = Tokens()
        self.control_plane = FakeControlPlane(self.tokens.jwks)
        self.log = Log()
        self.back_ends: list[BackEnd] = []
        self.ready_file = data_dir / "follower.ready"
        self.envoy = envoy_program(data_dir, self.ports)
        (data_dir / "service.token").write_text("rb_service\n")
        self.follower = Program("follower", self._follower_settings(), data_dir / "follower.out")
        self._producer: AIOKafkaProducer | None = None

    def _follower_settings(self) -> dict[str, str]:
        settings = {
            "DATA_DIR": self.data_dir,
            "API_URL": f"http://127.0.0.1:{self.control_plane.port}",
            "TOKEN_FILE": self.data_dir / "service.token",
            "KAFKA_BOOTSTRAP": self.node.bootstrap,
            "ADS_PORT": self.ports.ads,
            "ENVOY_PORT": self.ports.gateway,
            "ENVOY_ADMIN_PORT": self.ports.admin,
            "READY_FILE": self.ready_file,
            "METRICS_PORT": self.ports.metrics,
        }
        return {f"ROLLBOOK_FOLLOWER_{name}": str(value) for name, value in settings.items()}

    async def publish(self, stream: str, event: msgspec.Struct) -> int:
        if self._producer is None:
            self._producer = producer(self.node.connection, client_id="relay")
            await self._producer.start()
        for record in self.log.append(stream, event).records:
            await self._producer.send_and_wait(SERVING_STATE.name, key=record.id.encode(), **message_of(record))
        return self.log.version_of(stream)

    async def deploy(self, deployment_id: str, *, number: int = 1) -> None:
        await self.publish(ENDPOINT, added(deployment_id, number=number))
        await self.grow(deployment_id, f"instance-{deployment_id}")

    async def grow(self, deployment_id: str, instance_id: str, *, region: str = "local") -> BackEnd:
        back_end = await BackEnd(deployment_id).start()
        self.back_ends.append(back_end)
        await self.publish(instance_id, announced(ENDPOINT, deployment_id, port=back_end.port, region=region))
        return back_end

    async def epoch_served(self) -> str:
        url = f"http://127.0.0.1:{self.ports.gateway}{INFER}"
        headers = {"authorization": f"Bearer {self.tokens.mint()}"}
        async with httpx.AsyncClient(headers=headers, timeout=180, verify=NO_AUTHORITIES) as client:
            try:
                answer = await client.post(url, json={})
            except httpx.HTTPError:
                return ""
        return answer.headers.get("x-rollbook-epoch", "") if answer.status_code == 200 else ""

    async def serves(self, epoch: int) -> None:
        async def does() -> bool:
            return await self.epoch_served() == str(epoch)

        await until(does, why=f"epoch {epoch} served")

    async def reports(self, epoch: int) -> None:
        await until(lambda: (ENDPOINT, epoch) in self.control_plane.applied, why=f"epoch {epoch} reported")

    async def has_kept_all(self) -> bool:
        """Return whether the follower has written down that it has read all documents."""
        async with httpx.AsyncClient(timeout=180, verify=NO_AUTHORITIES) as client:
            shown = (await client.get(f"http://127.0.0.1:{self.ports.metrics}/metrics")).text
        return f"rollbook_follower_kept_position {float(self.log.position)}" in shown.splitlines()

    async def close(self) -> None:
        if self._producer:
            await self._producer.stop()
        for program in (self.follower, self.envoy):
            if program.process and program.process.returncode is None:
                await program.stop()
        await self.control_plane.stop()
        for back_end in self.back_ends:
            await back_end.kill()


@pytest.fixture
async def plant(tmp_path: Path, node: Node) -> AsyncIterator[Plant]:
    await make_anew(node, SERVING_STATE)
    plant = Plant(tmp_path, node)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(plant.close)
        await plant.control_plane.start()
        await plant.follower.start()
        await plant.envoy.start()
        await until(plant.ready_file.exists, why="a ready follower")
        await until(lambda: is_ready(plant.ports), why="a ready Envoy")
        yield plant


async def _serve_first(plant: Plant) -> int:
    await plant.publish(ENDPOINT, created())
    await plant.deploy("d1")
    epoch = await plant.publish(ENDPOINT, shifted(d1=[(0, 10_000)]))
    await plant.serves(epoch)
    await plant.reports(epoch)
    return epoch


async def test_an_event_becomes_traffic_and_is_reported_once_seen(plant: Plant) -> None:
    first = await _serve_first(plant)
    await plant.deploy("d2", number=2)
    second = await plant.publish(ENDPOINT, shifted(d2=[(0, 10_000)]))

    await plant.serves(second)
    await plant.reports(second)

    assert plant.control_plane.applied == [(ENDPOINT, first), (ENDPOINT, second)]
    assert plant.control_plane.tokens == {"Bearer rb_service"}


async def test_a_follower_that_is_killed_costs_no_request_and_catches_up(plant: Plant) -> None:
    epoch = await _serve_first(plant)
    await plant.deploy("d2", number=2)
    await plant.follower.stop(signal.SIGKILL)
    plant.ready_file.unlink(missing_ok=True)
    assert await plant.epoch_served() == str(epoch)
    later = await plant.publish(ENDPOINT, shifted(d2=[(0, 10_000)]))

    await plant.follower.start()

    await plant.serves(later)
    await plant.reports(later)


async def test_everything_restarted_without_control_plane_and_kafka_serves_the_last_good_state(
    plant: Plant, node: Node
) -> None:
    epoch = await _serve_first(plant)
    await plant.control_plane.stop()
    node.kill()
    try:
        for program in (plant.envoy, plant.follower):
            await program.stop(signal.SIGKILL)
        await plant.follower.start()
        await plant.envoy.start()

        await plant.serves(epoch)
    finally:
        node.start()
    await plant.control_plane.start()
    await plant.deploy("d2", number=2)
    later = await plant.publish(ENDPOINT, shifted(d2=[(0, 10_000)]))
    await plant.serves(later)
    await plant.reports(later)


async def test_the_control_plane_being_away_delays_only_the_report(plant: Plant) -> None:
    await _serve_first(plant)
    await plant.deploy("d2", number=2)
    await plant.control_plane.stop()

    epoch = await plant.publish(ENDPOINT, shifted(d2=[(0, 10_000)]))
    await plant.serves(epoch)
    assert (ENDPOINT, epoch) not in plant.control_plane.applied

    await plant.control_plane.start()
    await plant.reports(epoch)


async def test_a_failover_to_another_region_and_its_end_are_told_once_each(plant: Plant) -> None:
    await plant.publish(ENDPOINT, created())
    await plant.deploy("d1")
    await plant.grow("d1", "instance-far", region="far")
    # So the follower knows who usually answers, without a look at it first.
    await plant.publish(ENDPOINT, DeploymentPlaced(deployment_id="d1", regions=("local", "far"), reason="test"))
    epoch = await plant.publish(ENDPOINT, shifted(d1=[(0, 10_000)]))
    await plant.serves(epoch)
    told = plant.control_plane.failovers

    # No one withdraws it: its host is gone with its agent.
    await plant.back_ends[0].kill()
    await until(lambda: _asked(plant, epoch, told, 1), why="the failover told")
    await plant.publish("instance-d1", withdrawn(ENDPOINT, "d1"))
    await plant.grow("d1", "instance-again")
    await until(lambda: _asked(plant, epoch, told, 2), why="its end told")

    begun, ended = told
    assert (begun["what"], ended["what"]) == ("failover-started", "failover-ended")
    assert (begun["endpoint"], begun["region"], begun["from_region"]) == (ENDPOINT, "local", "local")
    assert (begun["to_deployment_id"], begun["to_region"], begun["code"]) == ("d1", "far", "instances-unreachable")
    assert ended["deployment_id"] == "d1"


async def _asked(plant: Plant, epoch: int, told: list[dict[str, Any]], count: int) -> bool:
    """Keep requests coming, none of which may fail, until so much was told."""
    for _ in range(10):
        assert await plant.epoch_served() == str(epoch)
    return len(told) >= count


async def test_failovers_while_the_control_plane_is_away_are_told_later(plant: Plant) -> None:
    await plant.publish(ENDPOINT, created())
    await plant.deploy("d1")
    await plant.grow("d1", "instance-far", region="far")
    # So the follower knows who usually answers, without a look at it first.
    await plant.publish(ENDPOINT, DeploymentPlaced(deployment_id="d1", regions=("local", "far"), reason="test"))
    epoch = await plant.publish(ENDPOINT, shifted(d1=[(0, 10_000)]))
    await plant.serves(epoch)
    await plant.control_plane.stop()

    await plant.publish("instance-d1", withdrawn(ENDPOINT, "d1"))
    await until(lambda: "failover_report_delayed" in plant.follower.logged, why="a report that waits")
    assert await plant.epoch_served() == str(epoch)
    await plant.control_plane.start()

    await until(lambda: bool(plant.control_plane.failovers), why="the report")
    (begun,) = plant.control_plane.failovers
    assert (begun["code"], begun["reason"]) == ("no-instance", "no instance is announced in local")


async def test_a_topic_that_is_yet_to_be_filled_again_takes_nothing_away(plant: Plant, node: Node) -> None:
    await _serve_first(plant)
    await plant.deploy("d2", number=2)
    await until(plant.has_kept_all, why="the follower's place in the topic on disk")
    await plant.follower.stop()
    await make_anew(node, SERVING_STATE)
    repeated = await plant.publish(ENDPOINT, shifted(d2=[(0, 10_000)]))

    await plant.follower.start()

    await plant.serves(repeated)


async def test_a_rotated_key_is_taken_up(plant: Plant) -> None:
    epoch = await _serve_first(plant)
    plant.tokens = Tokens()
    assert await plant.epoch_served() == ""

    plant.control_plane.jwks += plant.tokens.jwks

    await plant.serves(epoch)


async def test_it_stops_when_asked_and_says_it_is_not_ready(plant: Plant) -> None:
    assert await plant.follower.stop() == 0
    assert not plant.ready_file.exists()
    assert await plant.envoy.stop() == 0
