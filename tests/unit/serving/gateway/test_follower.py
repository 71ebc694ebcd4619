import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from infra.background import Background, BackOff
from infra.clock import SystemClock
from infra.kafka.serving_state import Documents
from schemas.events.endpoints import TrafficApplied
from serving.gateway import follower, names
from serving.gateway.ads_server import AdsServer
from serving.gateway.applied_reports import AppliedReports
from serving.gateway.control_plane_client import ControlPlaneClient
from serving.gateway.probe import Prober
from serving.gateway.resources import Update
from serving.gateway.routing_state import EndpointRoute, RoutingSnapshot
from serving.gateway.state_file import StateFile
from serving.gateway.state_parts import Parts
from serving.gateway.waiting_rooms import HoldLimits, WaitingRooms
from tests.support.builders import rollout_started
from tests.support.fakes import FakeClock
from tests.support.routing import Log, added, announced, created, shifted


class Ads(AdsServer):
    """Takes an update and sends it in a turn of the loop after the next, as the streams do."""

    def __init__(self, told: list[str]) -> None:
        super().__init__()
        self._told = told

    def put(self, update: Update) -> int:
        asyncio.get_running_loop().call_soon(asyncio.get_running_loop().call_soon, self._told.append, "envoy")
        return len(update.resources)


class Nobody:
    async def wake(self, endpoint_id: str, deployment_id: str, *, reason: str) -> None:
        raise AssertionError(f"{endpoint_id}, {deployment_id}: {reason}")


class Reports(AppliedReports):
    """Notes when the state is on disk."""

    def __init__(self, folder: Path) -> None:
        client = ControlPlaneClient("http://nowhere", token_file=folder / "token")
        super().__init__(client, prober=Prober(folder), clock=SystemClock(), region="local", gateway_id="gateway-1")
        self.kept: list[int] = []
        self.confirmed: list[int] = []

    def kept_until(self, position: int) -> None:
        self.kept.append(position)

    def confirm(self, endpoint: EndpointRoute, *, epoch: int, position: int) -> None:
        assert (endpoint.id, epoch) == ("endpoint-1", 3)
        self.confirmed.append(position)

    async def until_kept(self, position: int) -> None:
        async with asyncio.timeout(60):
            while self.kept[-1:] != [position]:
                await asyncio.sleep(0)


class File(StateFile):
    """Tells when it is written, and what of the state; fails as often as it is told to."""

    def __init__(self, folder: Path, told: list[str]) -> None:
        super().__init__(folder)
        self.parts: list[list[str]] = []
        self.failures = 0
        self._told = told

    def write(self, changed: Parts, *, read_at_ms: int) -> None:
        if self.failures:
            self.failures -= 1
            raise OSError("the disk is full")
        self._told.append("disk")
        self.parts.append(sorted(identifier for _, identifier in changed.parts))
        super().write(changed, read_at_ms=read_at_ms)


class Scene:
    """A follower whose state is kept, and the log that it follows."""

    def __init__(self, folder: Path, told: list[str]) -> None:
        self.folder = folder
        self.file = File(folder, told)
        self.reports = Reports(folder)
        self.clock = FakeClock()
        rooms = WaitingRooms(folder, waker=Nobody(), limits=HoldLimits(), background=Background())
        self.follower = follower.Follower(self.file, ads=Ads(told), reports=self.reports, rooms=rooms, clock=self.clock)
        self._log = Log()

    def tell(self, *events: tuple[str, msgspec.Struct]) -> None:
        parts = [self._log.append(stream, event) for stream, event in events]
        records = tuple(record for part in parts for record in part.records)
        self.follower.follow(Documents(records=records, is_all=False))

    def kept(self) -> RoutingSnapshot:
        """Return what a follower that starts now finds on disk; this one can write no more."""
        self.file.close()
        again = StateFile(self.folder)
        again.close()
        assert again.state is not None
        return again.state.snapshot


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
async def scene(tmp_path: Path, told: list[str]) -> AsyncIterator[Scene]:
    scene = Scene(tmp_path, told)
    background = Background(back_off=BackOff(first_s=0.0))
    async with background.running({"keeping": scene.follower.keep_state}):
        await asyncio.sleep(0)
        yield scene
    scene.file.close()


SERVED = (
    ("endpoint-1", created()),
    ("endpoint-1", added("d1")),
    ("instance-1", announced("endpoint-1", "d1")),
    ("endpoint-1", shifted(d1=[(0, 10_000)])),
)
APPLIED = ("endpoint-1", TrafficApplied(epoch=3, region="local", gateway_id="g", applied_at="2026-01-02T03:04:05.678Z"))


async def test_envoy_hears_of_a_change_before_it_is_written_to_disk(scene: Scene, told: list[str]) -> None:
    scene.tell(("endpoint-1", created()))
    await scene.reports.until_kept(1)

    assert [endpoint.name for endpoint in scene.kept().endpoints] == ["digits"]
    assert told == ["envoy", "disk"]


async def test_a_change_that_comes_back_as_applied_is_written_once(scene: Scene) -> None:
    scene.tell(*SERVED)
    await scene.reports.until_kept(4)

    scene.tell(APPLIED)
    scene.tell(("endpoint-2", created("other")))
    await scene.reports.until_kept(6)

    assert scene.reports.kept == [4, 6]


async def test_what_changes_nothing_that_is_served_is_written_in_its_own_time(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "_KEEP_UNHURRIED_S", 0.3)
    scene.tell(*SERVED)
    await scene.reports.until_kept(4)

    scene.tell(APPLIED)
    await scene.reports.until_kept(5)

    assert (scene.reports.kept, scene.kept().position) == ([4, 5], 5)


async def test_only_what_changed_is_written(scene: Scene) -> None:
    scene.tell(*SERVED, ("endpoint-2", created("other")))
    await scene.reports.until_kept(5)

    scene.tell(("endpoint-1", added("d2")))
    await scene.reports.until_kept(6)

    assert scene.file.parts == [["", "endpoint-1", "endpoint-2", "instance-1"], ["endpoint-1"]]
    assert [set(each.deployments) for each in scene.kept().endpoints] == [{"d1", "d2"}, set()]


async def test_a_change_that_the_disk_refused_is_written_later_and_reported_only_then(scene: Scene) -> None:
    scene.tell(*SERVED)
    await scene.reports.until_kept(4)
    scene.file.failures = 2

    scene.tell(("endpoint-1", added("d2")))
    await scene.reports.until_kept(5)

    assert (scene.file.failures, scene.reports.kept) == (0, [4, 5])
    assert set(scene.kept().endpoints[0].deployments) == {"d1", "d2"}


async def test_an_epoch_is_confirmed_by_the_state_that_has_it_not_by_what_came_after(scene: Scene) -> None:
    scene.tell(*SERVED)
    scene.tell(("rollout-1", rollout_started()))

    scene.follower.on_taken(names.ROUTE_TYPE, ["endpoint-1"])

    assert scene.reports.confirmed == [4]


@pytest.mark.parametrize(("days", "left"), [(29, ["instance-1"]), (31, [])])
async def test_what_is_not_on_the_topic_is_let_go_where_its_removal_may_have_been_forgotten(
    scene: Scene, days: int, left: list[str]
) -> None:
    scene.tell(*SERVED)
    scene.clock.advance(seconds=days * 86_400)

    scene.follower.follow(Documents(records=(), is_all=True))

    await scene.reports.until_kept(4)
    assert [each.id for each in scene.kept().instances] == left
