"""The autoscaler's rounds, with sources and a control plane that answer from memory."""

from pathlib import Path

import pytest

from schemas.scaling import LoadMeasurement, ScalingPolicy
from tests.support.fakes import FakeClock
from workers.autoscaler.autoscaler import Autoscaler, Sources
from workers.autoscaler.control_plane import (
    DeploymentAnswer,
    EndpointAnswer,
    InstanceAnswer,
    ScalingAnswer,
    SnapshotAnswer,
)
from workers.autoscaler.engine_load import Counters
from workers.autoscaler.errors import PartAwayError, RefusedError
from workers.autoscaler.gateway_load import Traffic
from workers.autoscaler.recording import Recording

IN_FLIGHT = ScalingPolicy(max_replicas=3, in_flight=1.0)
LATENCY = ScalingPolicy(max_replicas=3, latency_ms=10.0)


class Plane:
    """Answers with a snapshot and takes what is told; `fault` is raised once."""

    def __init__(self, policy: ScalingPolicy | None) -> None:
        self.policy = policy
        self.replicas, self.scaling_version = 1, 5
        self.snapshots = 0
        self.told: list[LoadMeasurement] = []
        self.changes_to: int | None = None
        self.fault: Exception | None = None

    async def snapshot(self) -> SnapshotAnswer:
        self._fail()
        self.snapshots += 1
        deployment = DeploymentAnswer(id="d", replicas=self.replicas, scaling_version=self.scaling_version)
        return SnapshotAnswer(
            position=1,
            endpoints=(EndpointAnswer(id="e", deployments=(deployment,), scaling=self.policy),),
            instances=(InstanceAnswer(id="i", deployment_id="d", host="h", port=1),),
        )

    async def report_load(self, endpoint_id: str, deployment_id: str, measurement: LoadMeasurement) -> ScalingAnswer:
        self._fail()
        assert (endpoint_id, deployment_id) == ("e", "d")
        self.told.append(measurement)
        is_changed = self.changes_to is not None
        if self.changes_to is not None:
            self.replicas, self.scaling_version, self.changes_to = self.changes_to, self.scaling_version + 1, None
        return ScalingAnswer(
            replicas=self.replicas, scaling_version=self.scaling_version, is_changed=is_changed, code="", reason=""
        )

    def _fail(self) -> None:
        fault, self.fault = self.fault, None
        if fault is not None:
            raise fault


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

    async def counters(self, instances: list[InstanceAnswer]) -> dict[str, Counters]:
        self.asked += 1
        return {each.id: Counters(answered=10.0 * self.asked, seconds=float(self.asked)) for each in instances}


class Scene:
    def __init__(self, folder: Path, policy: ScalingPolicy | None) -> None:
        self.plane, self.gateway, self.engines, self.clock = Plane(policy), Gateway(), Engines(), FakeClock()
        self.folder = folder
        self.autoscaler = Autoscaler(
            self.plane,
            Sources(gateways=self.gateway, engines=self.engines),
            clock=self.clock,
            recording=Recording(folder, max_bytes=100_000),
        )

    async def look(self, times: int = 1) -> None:
        for _ in range(times):
            await self.autoscaler.look_at_all()
            self.clock.advance(seconds=1.0)


async def test_each_deployment_under_a_policy_is_looked_at_and_told(tmp_path: Path) -> None:
    scene = Scene(tmp_path, IN_FLIGHT)

    await scene.look(2)

    assert [each.now.in_flight for each in scene.plane.told] == [4.0, 4.0]
    assert [each.watched_ms for each in scene.plane.told] == [0, 1_000]
    assert [each.scaling_version for each in scene.plane.told] == [5, 5]
    assert (scene.plane.snapshots, scene.engines.asked) == (1, 0)
    assert len((tmp_path / "looks-0.jsonl").read_bytes().splitlines()) == 2


async def test_without_a_policy_nothing_is_measured_or_told(tmp_path: Path) -> None:
    scene = Scene(tmp_path, None)

    await scene.look()

    assert (scene.plane.told, scene.autoscaler.looks, scene.autoscaler.watched) == ([], 0, 0)


async def test_engines_are_asked_only_where_a_policy_follows_them(tmp_path: Path) -> None:
    scene = Scene(tmp_path, LATENCY)

    await scene.look(2)

    assert scene.engines.asked == 2
    assert scene.plane.told[1].now.latency_ms == 100.0


async def test_a_change_is_read_back_before_the_next_look(tmp_path: Path) -> None:
    scene = Scene(tmp_path, IN_FLIGHT)
    scene.plane.changes_to = 3

    await scene.look(2)

    assert scene.autoscaler.changes == 1
    assert scene.plane.snapshots == 2
    assert scene.plane.told[1].scaling_version == 6


@pytest.mark.parametrize("fault", [PartAwayError("away"), RefusedError("stale")])
async def test_a_measurement_that_is_not_taken_leads_to_a_fresh_picture(tmp_path: Path, fault: Exception) -> None:
    scene = Scene(tmp_path, IN_FLIGHT)
    await scene.look()
    scene.plane.fault = fault

    await scene.look(2)

    assert scene.autoscaler.failures == 1
    assert scene.plane.snapshots == 2
    assert len(scene.plane.told) == 2


async def test_an_api_that_is_away_leaves_the_last_picture_and_is_asked_again(tmp_path: Path) -> None:
    scene = Scene(tmp_path, IN_FLIGHT)
    await scene.look()
    scene.plane.fault = PartAwayError("away")
    scene.autoscaler.is_stale = True

    await scene.look()
    assert scene.autoscaler.is_stale
    assert len(scene.plane.told) == 2

    await scene.look()
    assert not scene.autoscaler.is_stale


async def test_without_the_gateway_a_look_is_told_as_incomplete(tmp_path: Path) -> None:
    scene = Scene(tmp_path, IN_FLIGHT)
    scene.gateway.found = None

    await scene.look()

    assert not scene.plane.told[0].is_complete
    assert scene.autoscaler.failures == 1


async def test_looks_that_cannot_be_recorded_are_told_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    scene = Scene(tmp_path / "file", IN_FLIGHT)

    await scene.look()

    assert len(scene.plane.told) == 1
