"""When a step begins with several regions, and what is said of one that does not serve it."""

import pytest

from infra.background import Background
from schemas.documents.endpoints import ServingRegion
from schemas.documents.records import StateRecord
from schemas.envelope import rfc3339
from schemas.events.rollouts import RegionAway
from schemas.measurement import MeasureEpochOf, SilentRegion
from tests.unit.workers.rollout_judge.pictures import (
    AT_MS,
    ROLLOUT,
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
from workers.rollout_judge.looks import measurement_of, next_action, unseen_measurement
from workers.rollout_judge.state import Watched

SINCE = rfc3339(AT_MS - 3_000)


def serving(name: str, *, epoch: int = 5, first_epoch: int = 2) -> ServingRegion:
    behind_since = None if epoch >= 5 else SINCE
    return ServingRegion(region=name, epoch=epoch, first_epoch=first_epoch, behind_since=behind_since)


def away(name: str, *, epoch: int = 3, away_ms: int) -> RegionAway:
    return RegionAway(region=name, epoch=epoch, since=SINCE, away_ms=away_ms)


def watched(*records: StateRecord) -> Watched:
    return picture(*active(applied_at=None), *records, moment=at(is_live=True)).rollouts[ROLLOUT]


ALL = (serving("r0"), serving("r1"), serving("r2"))
WITHOUT_R2 = (serving("r0"), serving("r1"), serving("r2", epoch=3))


def test_a_step_begins_when_the_last_region_serves_it() -> None:
    two = applied((5, AT_MS), (5, AT_MS + 9), position=11, regions=WITHOUT_R2)
    three = applied((5, AT_MS), (5, AT_MS + 9), (5, AT_MS + 3), position=12, regions=ALL)
    known = picture(*active(applied_at=None), two)

    before = known.rollouts[ROLLOUT]
    known.take(later(three), at(seen_s=123.0, is_live=True))
    after = known.rollouts[ROLLOUT]

    assert (before.applied_ms, before.applied_s) == (None, None)
    assert (after.applied_ms, after.applied_s, after.behind) == (AT_MS + 9, 123.0, ())


def test_its_beginning_does_not_move_when_a_region_comes_that_never_served_the_endpoint() -> None:
    one = applied((5, AT_MS), position=11, regions=(serving("r0"),))
    joined = applied((5, AT_MS), (5, AT_MS + 900), position=12, regions=(serving("r0"), serving("r1", first_epoch=5)))
    known = picture(*active(applied_at=None), one)
    known.take(later(joined), at(seen_s=200.0, is_live=True))

    assert known.rollouts[ROLLOUT].applied_ms == AT_MS
    # Nor for a judge that starts only then.
    assert watched(joined).applied_ms == AT_MS


def test_where_no_region_is_known_a_step_begins_with_the_first() -> None:
    assert watched(applied((5, AT_MS + 9), (5, AT_MS))).applied_ms == AT_MS


def test_a_region_that_is_excused_is_not_waited_for() -> None:
    excusing = rollout(position=12, excused=(away("r2", away_ms=60_000),))
    two = applied((5, AT_MS), (5, AT_MS + 9), position=11, regions=WITHOUT_R2)
    back = applied((5, AT_MS), (5, AT_MS + 9), (5, AT_MS + 70_000), position=13, regions=ALL)

    begun = watched(two, excusing)
    measured = measurement_of(begun, view(), now_s=130.0)

    assert begun.applied_ms == AT_MS + 9
    assert measured is not None
    assert measured.excused == (away("r2", away_ms=30_000),)
    # It is back: its records count, and the step began when it did.
    returned = watched(two, excusing, back)
    measured = measurement_of(returned, view(), now_s=130.0)
    assert measured is not None
    assert (returned.applied_ms, measured.excused) == (AT_MS + 9, ())
    assert watched(excusing, back).applied_ms == AT_MS + 9


def test_a_step_waits_while_all_regions_are_excused_and_none_serves_it() -> None:
    alone = (serving("r0", epoch=3),)
    excusing = rollout(position=12, excused=(away("r0", away_ms=60_000),))

    assert watched(applied(position=11, regions=alone), excusing).applied_ms is None


def test_a_step_that_has_not_begun_is_measured_where_it_is_served() -> None:
    waiting = watched(applied((5, AT_MS), (5, AT_MS), position=11, regions=WITHOUT_R2))

    question = next_action(waiting, now_s=107.0)
    report = measurement_of(waiting, view(), now_s=107.0)

    assert isinstance(question, MeasureEpochOf)
    assert report is not None
    assert (report.has_begun, report.elapsed_ms, report.lasted_ms) == (False, 0, 7_000)
    assert report.away == (away("r2", away_ms=7_000),)
    assert {each.candidate.trials for each in report.counts} == {450, 500}


@pytest.mark.parametrize("phase", ["stepping", "baking"])
def test_a_step_that_no_gateway_serves_is_reported_too_if_no_view_answers(phase: str) -> None:
    report = unseen_measurement(watched(rollout(position=11, phase=phase)), now_s=107.0)

    assert report is not None
    assert (report.has_begun, report.away, report.elapsed_ms, report.lasted_ms) == (False, (), 0, 7_000)
    assert (report.freshness, report.counts) == ("late", ())


def test_an_endpoint_that_is_at_a_later_epoch_does_not_take_the_beginning_of_a_step_back() -> None:
    known = picture(*active(applied_at=None), applied((5, AT_MS), position=11, regions=(serving("r0"),)))
    known.take(later(applied(position=12, regions=(serving("r0"),))), at(seen_s=200.0, is_live=True))

    assert known.rollouts[ROLLOUT].applied_ms == AT_MS


async def test_a_step_that_waits_is_reported_each_second() -> None:
    plane, time = MemoryPlane(view()), clock()
    judge = Judge(plane, clock=time, background=Background())
    await judge.follow(topic(active(applied_at=None)), on_ready=lambda: None)

    for _ in range(5):
        await judge.look_at_all()
        time.advance(seconds=0.5)

    assert [measurement.lasted_ms for _, measurement in plane.measurements] == [90_000, 91_000, 92_000]


SILENT = SilentRegion(region="r1", since_ms=AT_MS - 20_000)


def silent(away_ms: int) -> RegionAway:
    return RegionAway(region="r1", epoch=5, since=rfc3339(AT_MS - 20_000), away_ms=away_ms)


async def test_a_region_that_goes_silent_is_away_since_the_judge_has_seen_it_so() -> None:
    plane, time = MemoryPlane(view(silent_regions=(SILENT,))), clock()
    judge = Judge(plane, clock=time, background=Background())
    await judge.follow(topic(active()), on_ready=lambda: None)

    await judge.look_at_all()
    time.is_set(forward_s=3_600.0)
    time.advance(seconds=7.0)
    await judge.look_at_all()
    plane.answer = view()
    time.advance(seconds=1.0)
    await judge.look_at_all()
    plane.answer = view(silent_regions=(SILENT,))
    time.advance(seconds=1.0)
    await judge.look_at_all()

    assert [measurement.away for _, measurement in plane.measurements] == [
        (silent(0),),
        (silent(7_000),),
        (),
        (silent(0),),
    ]


def test_the_view_is_told_which_regions_are_excused_and_says_whether_they_are_away_still() -> None:
    two = applied((5, AT_MS), (5, AT_MS + 9), position=11, regions=WITHOUT_R2)
    excusing = watched(two, rollout(position=12, excused=(away("r2", away_ms=60_000), silent(60_000))))

    question = next_action(excusing, now_s=130.0)
    one = measurement_of(excusing, view(silent_regions=(SILENT,)), now_s=130.0, silent_s={"r1": 120.0})
    other = measurement_of(excusing, view(), now_s=130.0)

    assert isinstance(question, MeasureEpochOf)
    assert question.excused_regions == ("r1", "r2")
    assert one is not None
    assert (one.away, one.excused) == ((), (away("r2", away_ms=30_000), silent(10_000)))
    assert other is not None
    assert other.excused == (away("r2", away_ms=30_000),)
