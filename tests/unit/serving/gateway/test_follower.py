import asyncio
from pathlib import Path

import pytest

from infra.clock import SystemClock
from serving.gateway import follower, names
from serving.gateway.ads_server import AdsServer
from serving.gateway.applied_reports import AppliedReports
from serving.gateway.control_plane_client import ControlPlaneClient
from serving.gateway.event_feed import Cursor, FedEvent
from serving.gateway.probe import Prober
from serving.gateway.resources import Update
from serving.gateway.snapshot_file import KeptState, read_state, write_state
from tests.support.routing import NOTHING_KNOWN, Log, created


class Ads(AdsServer):
    """Takes an update and sends it in a turn of the loop after the next, as the streams do."""

    def __init__(self, told: list[str]) -> None:
        super().__init__()
        self._told = told

    def put(self, update: Update) -> int:
        asyncio.get_running_loop().call_soon(asyncio.get_running_loop().call_soon, self._told.append, "envoy")
        return len(update.resources)


class Reports(AppliedReports):
    """Notes when the state is on disk."""

    def __init__(self, folder: Path) -> None:
        client = ControlPlaneClient("http://nowhere", token_file=folder / "token")
        super().__init__(
            client, prober=Prober(folder), clock=SystemClock(), region="local", gateway=lambda: "gateway-1"
        )
        self.is_kept = asyncio.Event()

    def kept_until(self, position: int) -> None:
        if position == 1:
            self.is_kept.set()


async def test_envoy_hears_of_a_change_before_it_is_written_to_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []

    async def write(path: Path, state: KeptState) -> None:
        told.append("disk")
        await write_state(path, state)

    monkeypatch.setattr(follower, "write_state", write)
    reports, path = Reports(tmp_path), tmp_path / names.SNAPSHOT
    nothing = KeptState(snapshot=NOTHING_KNOWN, cursor=None)
    following = follower.Follower(nothing, ads=Ads(told), reports=reports, snapshot_path=path)
    keeping = asyncio.create_task(following.keep_state())
    await asyncio.sleep(0)

    following.follow([FedEvent(envelope=Log().append("endpoint-1", created()), cursor=Cursor(offset=0, position=1))])

    await asyncio.wait_for(reports.is_kept.wait(), timeout=5)
    keeping.cancel()
    kept = read_state(path)
    assert kept is not None
    assert [endpoint.name for endpoint in kept.snapshot.endpoints] == ["digits"]
    assert told == ["envoy", "disk"]
