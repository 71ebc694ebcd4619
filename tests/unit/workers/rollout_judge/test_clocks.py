"""Clocks that are set in the middle of a step: the judge goes by one that nobody sets."""

import pytest

from infra.background import Background
from infra.kafka.serving_state import Documents
from schemas.envelope import rfc3339
from schemas.events.rollouts import Measurement
from tests.support.fakes import FakeClock
from tests.unit.workers.rollout_judge.pictures import (
    AT_MS,
    MemoryPlane,
    active,
    applied,
    at,
    clock,
    later,
    picture,
    rollout,
    topic,
    view,
)
from workers.rollout_judge.judge import Judge

HOUR_S = 3_600.0
HOUR_MS = 3_600_000
BOTH_WAYS = pytest.mark.parametrize("jump_s", [HOUR_S, -HOUR_S])


async def judge_of_a_step(plane: MemoryPlane, time: FakeClock) -> Judge:
    """Make a judge that sees a step being applied now."""
    judge = Judge(plane, clock=time, background=Background())
    await judge.follow(topic(active(applied_at=None), (applied((5, AT_MS), position=11),)), on_ready=lambda: None)
    return judge


async def last_measured(judge: Judge, plane: MemoryPlane) -> Measurement:
    await judge.look_at_all()
    return plane.measurements[-1][1]


@BOTH_WAYS
async def test_a_step_lasts_as_long_as_it_does_though_the_clock_of_the_judge_is_set(jump_s: float) -> None:
    plane, time = MemoryPlane(view(watermark_ms=AT_MS + 1_000)), clock()
    judge = await judge_of_a_step(plane, time)

    time.advance(seconds=2.0)
    time.is_set(forward_s=jump_s)
    time.advance(seconds=3.0)

    assert (await last_measured(judge, plane)).lasted_ms == 5_000


@BOTH_WAYS
async def test_it_does_though_the_clock_of_a_gateway_is_set(jump_s: float) -> None:
    plane, time = MemoryPlane(view(watermark_ms=AT_MS + 1_000 + round(jump_s * 1_000))), clock()
    judge = await judge_of_a_step(plane, time)

    time.advance(seconds=5.0)
    measurement = await last_measured(judge, plane)

    assert (measurement.lasted_ms, measurement.elapsed_ms) == (5_000, 1_000 + round(jump_s * 1_000))


@BOTH_WAYS
async def test_it_does_though_the_gateway_says_that_it_served_the_step_at_another_time(jump_s: float) -> None:
    plane, time = MemoryPlane(view()), clock()
    judge = Judge(plane, clock=time, background=Background())
    moment = AT_MS + round(jump_s * 1_000)
    await judge.follow(topic(active(applied_at=None), (applied((5, moment), position=11),)), on_ready=lambda: None)

    time.advance(seconds=5.0)

    assert (await last_measured(judge, plane)).lasted_ms == 5_000


async def test_a_watermark_that_stands_still_is_told_each_second() -> None:
    plane, time = MemoryPlane(view(watermark_ms=AT_MS + HOUR_MS)), clock()
    judge = await judge_of_a_step(plane, time)

    for _ in range(6):
        await judge.look_at_all()
        time.advance(seconds=0.5)

    assert [measurement.lasted_ms for _, measurement in plane.measurements] == [0, 1_000, 2_000]


@BOTH_WAYS
def test_documents_that_are_read_again_do_not_time_a_step_anew(jump_s: float) -> None:
    records = (rollout(), applied((5, AT_MS)))
    known = picture(*active(applied_at=None))
    known.take(later(*records), at(seen_s=200.0, is_live=True))
    before = known.rollouts["rollout-1"]

    moment = at(seen_s=205.0)
    set_clock = type(moment)(seen_s=moment.seen_s, now_ms=AT_MS + round(jump_s * 1_000), is_live=False)
    known.take(Documents(records=records, is_all=True), set_clock)

    after = known.rollouts["rollout-1"]
    assert (after.applied_s, after.applied_ms, after.started_s) == (200.0, AT_MS, before.started_s)


def test_a_judge_that_starts_goes_by_the_clock_for_what_was_before() -> None:
    known = picture(*active(applied_at=AT_MS - 60_000))
    ahead = picture(rollout(started_at=rfc3339(AT_MS + HOUR_MS)), applied((5, AT_MS + HOUR_MS)))

    assert known.rollouts["rollout-1"].applied_s == 40.0
    assert ahead.rollouts["rollout-1"].applied_s == 100.0
