"""A bake whose time is over while records are missing: it waits, and says for what and what can be done."""

import pytest

from control_plane.rollouts.aggregate import RolloutState
from control_plane.rollouts.commands import AbortRollout, JudgeStep, PromoteRollout
from control_plane.rollouts.resources import ROLLOUTS
from schemas.events.rollouts import (
    BakeHeld,
    MissingSource,
    RegionAway,
    RegionsExcused,
    RolloutAborted,
    RolloutCompleted,
    StepHeld,
    StepJudged,
    StepReleased,
)
from tests.support.builders import measurement, rollout_started
from tests.support.spec import Given
from tests.unit.control_plane.rollouts.phases import PAST, decided

LATE = {
    "freshness": "late",
    "lag_ms": 65_000,
    "missing": (MissingSource(source="shipper-1", region="us-east", since_ms=1_700_000_100_000),),
}
WHAT_TO_DO = "Promote the rollout to complete it now, or abort it."


def baking(**plan: object) -> Given[RolloutState | None]:
    """Begin with a rollout that bakes for 5 s, and may lag for 5 s and be without a region for 20 s."""
    started = rollout_started(**{"region_grace_ms": 20_000} | plan)
    return Given(ROLLOUTS, started, *PAST["baking"][1:], stream="rollout-1")


def look(lasted_ms: int, **changes: object) -> JudgeStep:
    return JudgeStep(measurement=measurement(step=3, epoch=8, lasted_ms=lasted_ms, **{"elapsed_ms": 1_000} | changes))


def away(*, epoch: int = 8) -> tuple[RegionAway, ...]:
    return (RegionAway(region="us-east", epoch=epoch, since="2026-11-30T14:03:07.120Z", away_ms=60_000),)


def test_a_bake_that_waits_for_records_says_so_once_and_what_can_be_done() -> None:
    past = baking()
    past.when(lambda state: decided(state, look(24_999, **LATE))).then_nothing()

    (held,) = past.when(lambda state: decided(state, look(25_000, **LATE))).then_events()
    past.happens(held)

    assert isinstance(held, BakeHeld)
    assert held.reason == (
        "Still baking at 100 % after 25 s: records since 22:15:00 UTC are missing, 65 s so far: "
        f"shipper-1 in us-east holds them back. {WHAT_TO_DO}"
    )
    assert past.state is not None
    assert (past.state.phase, past.state.reason) == ("baking", held.reason)
    past.when(lambda state: decided(state, look(600_000, **LATE))).then_nothing()


def test_a_bake_that_waits_completes_by_itself_once_the_records_are_there() -> None:
    past = baking().happens(BakeHeld(measurement=measurement(), reason="held"))

    events = past.when(lambda state: decided(state, look(60_000, elapsed_ms=60_000))).then_events()

    assert [type(event) for event in events] == [StepJudged, RolloutCompleted]


def test_a_bake_that_waits_can_be_promoted_or_aborted() -> None:
    past = baking().happens(BakeHeld(measurement=measurement(), reason="held"))

    past.when(lambda state: decided(state, PromoteRollout(reason="sure"))).then(RolloutCompleted(reason="sure"))
    past.when(lambda state: decided(state, AbortRollout(reason="stop"))).then(
        RolloutAborted(step=3, epoch=9, reason="stop")
    )


def test_records_that_lag_no_more_than_the_plan_allows_do_not_hold_a_bake() -> None:
    past = baking(max_lag_ms=30_000)
    lagging = {"freshness": "late", "lag_ms": 29_000, "elapsed_ms": 4_000}

    past.when(lambda state: decided(state, look(33_000, **lagging))).then_nothing()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"elapsed_ms": 1_000}, "the records reach only 1 s into the bake"),
        ({"counts": (), "freshness": "late"}, "the view of requests did not answer"),
        (
            {"has_begun": False, "away": away(epoch=3), "freshness": "late"},
            "region us-east has been behind since 14:03:07 UTC and still serves epoch 3, so the step has not begun",
        ),
    ],
)
def test_a_bake_that_waits_says_for_what(changes: dict[str, object], reason: str) -> None:
    past = baking().happens(StepHeld(step=3, epoch=8, regions=away(epoch=3), reason="held"))
    if "has_begun" not in changes:
        past.happens(StepReleased(step=3, epoch=8, reason="back"))

    (held,) = past.when(lambda state: decided(state, look(360_000, **changes))).then_events()

    assert isinstance(held, BakeHeld)
    assert held.reason == f"Still baking at 100 % after 6 min: {reason}. {WHAT_TO_DO}"


def test_a_bake_that_began_late_may_wait_again() -> None:
    past = baking().happens(
        StepHeld(step=3, epoch=8, regions=away(epoch=3), reason="held"),
        BakeHeld(measurement=measurement(), reason="held"),
        StepReleased(step=3, epoch=8, reason="back"),
    )

    (held,) = past.when(lambda state: decided(state, look(25_000, **LATE))).then_events()

    assert isinstance(held, BakeHeld)


def test_a_bake_goes_on_without_a_region_where_the_plan_excuses_it() -> None:
    past = baking(when_region_away="excuse")

    (excused,) = past.when(lambda state: decided(state, look(60_000, away=away(), **LATE))).then_events()

    assert isinstance(excused, RegionsExcused)


def test_a_judge_that_does_not_say_how_long_it_has_waited_holds_no_bake() -> None:
    late = JudgeStep(measurement=measurement(step=3, epoch=8, elapsed_ms=600_000, **LATE))

    baking().when(lambda state: decided(state, late)).then_nothing()
