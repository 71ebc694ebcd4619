"""The autoscaler's rounds, with sources and a control plane that answer from memory."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import msgspec
import pytest

from infra.kafka.serving_state import Documents
from schemas.documents.records import StateRecord
from schemas.scaling import LoadMeasurement, ScalingPolicy
from tests.support.fakes import FakeClock
from workers.autoscaler.autoscaler import Autoscaler, Sources
from workers.autoscaler.control_plane import ScalingAnswer
from workers.autoscaler.engine_load import Counters
from workers.autoscaler.errors import PartAwayError, RefusedError
from workers.autoscaler.gateway_load import Traffic
from workers.autoscaler.picture import Deployment, Endpoint, Instance
from workers.autoscaler.recording import Recording

IN_FLIGHT = ScalingPolicy(max_replicas=3, in_flight=1.0)
LATENCY = ScalingPolicy(max_replicas=3, latency_ms=10.0)


class Plane:
    """Takes what is told; `fault` is raised once."""

    def __init__(self) -> None:
        self.told: list[LoadMeasurement] = []
        self.is_changing = False
        self.fault: Exception | None = None

    def within(self, _workspace: str) -> "Plane":
        return self

    async def report_load(self, endpoint_id: str, deployment_id: str, measurement: LoadMeasurement) -> ScalingAnswer:
        fault, self.fault = self.fault, None
        if fault is not None:
            raise fault
        assert (endpoint_id, deployment_id) == ("endpoint-1", "d")
        self.told.append(measurement)
        return ScalingAnswer(replicas=1, scaling_version=5, is_changed=self.is_changing, code="", reason="")


class Gateway:
    def __init__(self) -> None:
        self.found: dict[str, Traffic] | None = {"d": Traffic(active=4, total=9)}

    async def traffic(self) -> dict[str, Traffic]:
        if self.found is None:
            raise PartAwayError("the gateway is away")
        return self.found


class Engines:
    def __init__(self) -> None:
        self.asked = 0

    async def counters(self, instances: Sequence[Instance]) -> dict[str, Counters]:
        self.asked += 1
        return {each.id: Counters(answered=10.0 * self.asked, seconds=float(self.asked)) for each in instances}


def documents(policy: ScalingPolicy | None, *, scaling_version: int = 5, is_all: bool = True) -> Documents:
    """Make the documents of an endpoint with a deployment that has one instance, and one that failed."""
    deployment = Deployment(id="d", replicas=1, scaling_version=scaling_version)
    parts: dict[str, msgspec.Struct] = {
        "endpoint-1": Endpoint(id="endpoint-1", workspace="default", deployments=(deployment,), scaling=policy),
        "instance-1": Instance(id="instance-1", deployment_id="d", phase="announced", host="h", port=1),
        "instance-2": Instance(id="instance-2", deployment_id="d", phase="failed"),
    }
    records = tuple(
        StateRecord(
            kind=name.partition("-")[0],
            id=name,
            workspace="default",
            stream_version=1,
            position=1,
            event_id="event-1",
            document=msgspec.Raw(msgspec.json.encode(part)),
        )
        for name, part in parts.items()
    )
    return Documents(records=records, is_all=is_all)


class Scene:
    def __init__(self, folder: Path) -> None:
        self.plane, self.gateway, self.engines, self.clock = Plane(), Gateway(), Engines(), FakeClock()
        self.ready = 0
        self.autoscaler = Autoscaler(
            self.plane,
            Sources(gateways=self.gateway, engines=self.engines),
            clock=self.clock,
            recording=Recording(folder, max_bytes=100_000),
        )

    async def follow(self, *read: Documents) -> "Scene":
        async def topic() -> AsyncIterator[Documents]:
            for each in read:
                yield each

        def count() -> None:
            self.ready += 1

        await self.autoscaler.follow(topic(), on_ready=count)
        return self

    async def look(self, times: int = 1) -> None:
        for _ in range(times):
            await self.autoscaler.look_at_all()
            self.clock.advance(seconds=1.0)


async def test_each_deployment_under_a_policy_is_looked_at_and_told(tmp_path: Path) -> None:
    scene = await Scene(tmp_path).follow(documents(IN_FLIGHT))

    await scene.look(2)

    assert [each.now.in_flight for each in scene.plane.told] == [4.0, 4.0]
    assert [each.watched_ms for each in scene.plane.told] == [0, 1_000]
    assert [each.scaling_version for each in scene.plane.told] == [5, 5]
    assert (scene.ready, scene.engines.asked) == (1, 0)
    assert len((tmp_path / "looks-0.jsonl").read_bytes().splitlines()) == 2


async def test_without_a_policy_nothing_is_measured_or_told(tmp_path: Path) -> None:
    scene = await Scene(tmp_path).follow(documents(None))

    await scene.look()

    assert (scene.plane.told, scene.autoscaler.looks, scene.autoscaler.watched) == ([], 0, 0)


async def test_engines_are_asked_only_where_a_policy_follows_them(tmp_path: Path) -> None:
    scene = await Scene(tmp_path).follow(documents(LATENCY))

    await scene.look(2)

    assert scene.engines.asked == 2
    assert scene.plane.told[1].now.latency_ms == 100.0


async def test_a_change_counts_from_its_document_on(tmp_path: Path) -> None:
    scene = await Scene(tmp_path).follow(documents(IN_FLIGHT))
    scene.plane.is_changing = True

    await scene.look()
    await scene.follow(documents(IN_FLIGHT, scaling_version=6, is_all=False))
    scene.plane.is_changing = False
    await scene.look()

    assert scene.autoscaler.changes == 1
    assert [each.scaling_version for each in scene.plane.told] == [5, 6]


async def test_a_policy_that_is_removed_ends_the_looks(tmp_path: Path) -> None:
    scene = await Scene(tmp_path).follow(documents(IN_FLIGHT), documents(None, is_all=False))

    await scene.look()

    assert (scene.plane.told, scene.autoscaler.watched) == ([], 0)


async def test_what_is_not_among_all_documents_is_not_watched(tmp_path: Path) -> None:
    scene = await Scene(tmp_path).follow(documents(IN_FLIGHT), Documents(records=(), is_all=True))

    assert (scene.autoscaler.watched, scene.ready) == (0, 2)


@pytest.mark.parametrize("fault", [PartAwayError("away"), RefusedError("stale")])
async def test_a_measurement_that_is_not_taken_is_counted_and_the_next_one_told(
    tmp_path: Path, fault: Exception
) -> None:
    scene = await Scene(tmp_path).follow(documents(IN_FLIGHT))
    await scene.look()
    scene.plane.fault = fault

    await scene.look(2)

    assert (scene.autoscaler.failures, len(scene.plane.told)) == (1, 2)


async def test_without_the_gateway_a_look_is_told_as_incomplete(tmp_path: Path) -> None:
    scene = await Scene(tmp_path).follow(documents(IN_FLIGHT))
    scene.gateway.found = None

    await scene.look()

    assert not scene.plane.told[0].is_complete
    assert scene.autoscaler.failures == 1


async def test_looks_that_cannot_be_recorded_are_told_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    scene = await Scene(tmp_path / "file").follow(documents(IN_FLIGHT))

    await scene.look()

    assert len(scene.plane.told) == 1
