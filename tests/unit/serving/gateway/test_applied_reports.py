"""Each epoch is probed and reported by itself: trouble with one endpoint does not affect another."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from infra.clock import SystemClock
from serving.gateway.applied_reports import AppliedReports
from serving.gateway.control_plane_client import ControlPlaneClient
from serving.gateway.probe import NotServedError, Prober
from serving.gateway.routing_state import EndpointRoute
from tests.support.routing import route

STUCK, FINE = (route(f"endpoint-{name}", name=name) for name in ("stuck", "fine"))


class Envoy(Prober):
    """Serves the epoch that it is told, and no answer for endpoints that it does not know."""

    def __init__(self, folder: Path, served: dict[str, int]) -> None:
        super().__init__(folder)
        self.served = served

    async def epoch_of(self, endpoint: EndpointRoute) -> int:
        if endpoint.id not in self.served:
            raise NotServedError("no answer")
        return self.served[endpoint.id]


class ControlPlane(ControlPlaneClient):
    """Keeps what was reported; calls about some endpoints fail."""

    def __init__(self, folder: Path, *, failing: str = "") -> None:
        super().__init__("http://nowhere", token_file=folder / "token")
        self.failing = failing
        self.reported: list[tuple[str, int]] = []
        self.news = asyncio.Event()

    async def report_applied(self, endpoint_id: str, *, epoch: int, **_: str | int) -> None:
        if endpoint_id == self.failing:
            raise httpx.ReadTimeout("no answer in time")
        self.reported.append((endpoint_id, epoch))
        self.news.set()

    async def until_reported(self, *expected: tuple[str, int]) -> None:
        async with asyncio.timeout(60):
            while set(self.reported) != set(expected):
                await self.news.wait()
                self.news.clear()


@asynccontextmanager
async def reporting(plane: ControlPlane, envoy: Envoy) -> AsyncIterator[AppliedReports]:
    reports = AppliedReports(plane, prober=envoy, clock=SystemClock(), region="r", gateway_id="g")
    tasks = [asyncio.create_task(each) for each in (reports.probe_forever(), reports.report_forever())]
    reports.kept_until(10)
    try:
        yield reports
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_an_endpoint_that_is_not_served_delays_no_other(tmp_path: Path) -> None:
    plane, envoy = ControlPlane(tmp_path), Envoy(tmp_path, {FINE.id: 3})
    async with reporting(plane, envoy) as reports:
        reports.confirm(STUCK, epoch=7, position=1)
        reports.confirm(FINE, epoch=3, position=2)

        await plane.until_reported((FINE.id, 3))

        envoy.served[STUCK.id] = 7
        await plane.until_reported((FINE.id, 3), (STUCK.id, 7))


async def test_an_epoch_before_the_newest_is_not_reported_for_it(tmp_path: Path) -> None:
    plane, envoy = ControlPlane(tmp_path), Envoy(tmp_path, {FINE.id: 3})
    async with reporting(plane, envoy) as reports:
        reports.confirm(FINE, epoch=3, position=1)
        await plane.until_reported((FINE.id, 3))
        reports.confirm(FINE, epoch=4, position=2)

        envoy.served[FINE.id] = 5
        await plane.until_reported((FINE.id, 3), (FINE.id, 4))


async def test_a_report_that_does_not_get_through_delays_no_other_and_is_sent_again(tmp_path: Path) -> None:
    plane, envoy = ControlPlane(tmp_path, failing=STUCK.id), Envoy(tmp_path, {FINE.id: 3, STUCK.id: 7})
    async with reporting(plane, envoy) as reports:
        reports.confirm(STUCK, epoch=7, position=1)
        reports.confirm(FINE, epoch=3, position=2)

        await plane.until_reported((FINE.id, 3))

        plane.failing = ""
        await plane.until_reported((FINE.id, 3), (STUCK.id, 7))


async def test_an_epoch_is_reported_only_once_its_state_is_on_disk(tmp_path: Path) -> None:
    plane, envoy = ControlPlane(tmp_path), Envoy(tmp_path, {FINE.id: 3, STUCK.id: 7})
    async with reporting(plane, envoy) as reports:
        reports.confirm(STUCK, epoch=7, position=11)
        reports.confirm(FINE, epoch=3, position=2)
        await plane.until_reported((FINE.id, 3))

        reports.kept_until(11)
        await plane.until_reported((FINE.id, 3), (STUCK.id, 7))
