"""A probe runs once for all who ask, and its outcome is kept for a moment only."""

import asyncio

import pytest

from control_plane.web.shared_probe import SharedProbe
from tests.support.fakes import FakeClock


class Disk:
    """Answers when it is let, with what it is set to."""

    def __init__(self) -> None:
        self.answers = asyncio.Event()
        self.is_well = True
        self.asked = 0

    async def probe(self) -> bool:
        self.asked += 1
        await self.answers.wait()
        if not self.is_well:
            raise OSError("the disk is away")
        return True


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


async def test_all_who_ask_at_once_share_one_run(clock: FakeClock) -> None:
    disk = Disk()
    shared = SharedProbe(disk.probe, max_age_s=1, clock=clock)

    asking = [asyncio.create_task(shared.outcome()) for _ in range(100)]
    clock.advance(seconds=60)
    await asyncio.sleep(0)
    disk.answers.set()

    assert await asyncio.gather(*asking) == [True] * 100
    assert disk.asked == 1


async def test_an_outcome_is_kept_for_its_age_and_then_found_out_again(clock: FakeClock) -> None:
    disk = Disk()
    disk.answers.set()
    shared = SharedProbe(disk.probe, max_age_s=1, clock=clock)
    assert await shared.outcome()

    disk.is_well = False
    clock.advance(seconds=0.9)
    assert await shared.outcome()
    clock.advance(seconds=0.1)

    for _ in range(3):
        with pytest.raises(OSError, match="away"):
            await shared.outcome()
    assert disk.asked == 2


async def test_one_who_goes_away_ends_it_for_no_other(clock: FakeClock) -> None:
    disk = Disk()
    shared = SharedProbe(disk.probe, max_age_s=1, clock=clock)
    leaving, staying = (asyncio.create_task(shared.outcome()) for _ in range(2))
    await asyncio.sleep(0)

    leaving.cancel()
    disk.answers.set()

    assert await staying
    assert leaving.cancelled()
    assert disk.asked == 1
