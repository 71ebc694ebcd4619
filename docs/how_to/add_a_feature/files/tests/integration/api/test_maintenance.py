"""Maintenance over HTTP, by the client library."""

import pytest

from rollbook import AsyncRollbook, NotFound, Problem
from tests.support.api import RunningApi, Stage

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_maintenance_is_announced_begun_and_ended(api: RunningApi, stage: Stage) -> None:
    async with AsyncRollbook(api.url, token=api.admin_token) as client:
        announced = await client.maintenance.announce("digits", "new disks", 3_600, starts_in_s=60)
        begun = await client.maintenance.begin(announced.id, "on time")
        ended = await client.maintenance.end(announced.id, "disks work")

        assert (announced.phase, announced.endpoint_id) == ("announced", stage.endpoint_id)
        assert (begun.phase, ended.phase) == ("begun", "ended")
        assert (await client.maintenance.get(announced.id)).ended_at == ended.ended_at
        assert [each.id for each in await client.maintenance.list(phase="ended")] == [announced.id]


async def test_what_cannot_be_carried_out_says_why(api: RunningApi, stage: Stage) -> None:
    async with AsyncRollbook(api.url, token=api.admin_token) as client:
        announced = await client.maintenance.announce("digits", "new disks", 3_600)

        with pytest.raises(Problem) as caught:
            await client.maintenance.end(announced.id, "never mind")
        with pytest.raises(NotFound):
            await client.maintenance.announce("letters", "new disks", 3_600)

    assert caught.value.code == "maintenance-not-begun"


async def test_the_view_is_not_available_while_its_store_is_away(api: RunningApi, stage: Stage) -> None:
    async with AsyncRollbook(api.url, token=api.admin_token) as client:
        with pytest.raises(Problem) as caught:
            await client.maintenance.downtime("digits")

    assert caught.value.code == "view-unavailable"
