"""Clocks that are set in the middle of a step: a gateway's, or that of the control plane. They change no verdict."""

import pytest

from control_plane.rollouts.commands import JudgeStep
from schemas.events.rollouts import (
    Measurement,
    RolloutAborted,
    RolloutCompleted,
    RolloutPaused,
    RolloutResumed,
    StepJudged,
    StepStarted,
)
from tests.support.builders import THIN, WRONG, measurement
from tests.support.spec import BEGAN_MS
from tests.unit.control_plane.rollouts.phases import decided, given

HOUR_MS = 3_600_000


def look(phase: str, measured: Measurement) -> list[type]:
    """Return the kinds of events that a measurement leads to."""
    events = given(phase).when(lambda state: decided(state, JudgeStep(measurement=measured))).then_events()
    return [type(event) for event in events]


@pytest.mark.parametrize(("lasted_ms", "leads_to"), [(2_999, []), (3_000, [StepJudged, StepStarted])])
def test_a_gateway_whose_clock_is_put_forward_does_not_shorten_a_step(lasted_ms: int, leads_to: list[type]) -> None:
    assert look("stepping", measurement(elapsed_ms=HOUR_MS, lasted_ms=lasted_ms)) == leads_to


@pytest.mark.parametrize(("lasted_ms", "leads_to"), [(4_999, []), (5_000, [StepJudged, RolloutCompleted])])
def test_it_does_not_shorten_the_bake_time_either(lasted_ms: int, leads_to: list[type]) -> None:
    measured = measurement(step=3, epoch=8, elapsed_ms=HOUR_MS, lasted_ms=lasted_ms)

    assert look("baking", measured) == leads_to


def test_two_gateways_ten_seconds_apart_do_not_shorten_a_step() -> None:
    # The one that is behind served the step first, and is gone: the other's records begin ten seconds later.
    assert look("stepping", measurement(elapsed_ms=10_500, lasted_ms=500)) == []


@pytest.mark.parametrize("phase", ["stepping", "baking"])
def test_a_gateway_whose_clock_is_put_back_makes_a_step_late(phase: str) -> None:
    step, epoch = (0, 5) if phase == "stepping" else (3, 8)

    assert look(phase, measurement(step=step, epoch=epoch, elapsed_ms=1_000, lasted_ms=40_000)) == []


@pytest.mark.parametrize("elapsed_ms", [HOUR_MS, -HOUR_MS])
def test_a_bad_candidate_is_aborted_whatever_the_clocks_say(elapsed_ms: int) -> None:
    bad = measurement(elapsed_ms=elapsed_ms, lasted_ms=1_000, counts=WRONG)

    assert look("stepping", bad) == [StepJudged, RolloutAborted]


@pytest.mark.parametrize(
    ("elapsed_ms", "lasted_ms", "is_over"),
    [
        pytest.param(HOUR_MS, 59_999, False, id="records of the time to come"),
        pytest.param(HOUR_MS, 60_000, True, id="and it is over"),
        pytest.param(59_000, 60_500, False, id="its newest records are on their way"),
        pytest.param(60_000, 60_500, True, id="they are there"),
        pytest.param(-HOUR_MS, 64_999, False, id="records of the past, which may lag"),
        pytest.param(-HOUR_MS, 65_000, True, id="and never come"),
    ],
)
def test_an_undecided_step_ends_by_the_time_that_passed(elapsed_ms: int, lasted_ms: int, is_over: bool) -> None:  # noqa: FBT001
    undecided = measurement(elapsed_ms=elapsed_ms, lasted_ms=lasted_ms, counts=THIN)

    assert look("stepping", undecided) == ([StepJudged, RolloutPaused] if is_over else [])


def test_a_late_view_ends_with_its_step() -> None:
    late = {"freshness": "late", "lag_ms": 40_000, "counts": THIN, "elapsed_ms": 20_000}

    assert look("stepping", measurement(**late, lasted_ms=59_999)) == []
    assert look("stepping", measurement(**late, lasted_ms=60_000)) == [StepJudged, RolloutPaused]


def test_a_step_that_passes_by_every_gate_and_never_gets_its_records_says_so() -> None:
    stuck = measurement(elapsed_ms=1_000, lasted_ms=65_000)

    judged, _paused = given("stepping").when(lambda state: decided(state, JudgeStep(measurement=stuck))).then_events()

    assert isinstance(judged, StepJudged)
    assert judged.reason == "Paused at 5 %: no decision in 60 s; the records reach only 1 s into the step."


def test_records_of_before_the_step_are_not_told_in_negative_seconds() -> None:
    stuck = measurement(elapsed_ms=-HOUR_MS, lasted_ms=65_000)

    judged, _paused = given("stepping").when(lambda state: decided(state, JudgeStep(measurement=stuck))).then_events()

    assert isinstance(judged, StepJudged)
    assert judged.reason == "Paused at 5 %: no decision in 60 s; the records end 60 min before the step began."


def test_a_resumed_step_is_judged_though_its_watermark_stands_still() -> None:
    past = given("stepping")
    stuck = measurement(elapsed_ms=10_000, lasted_ms=65_000, counts=THIN)
    past.happens(*past.when(lambda state: decided(state, JudgeStep(measurement=stuck))).then_events())
    past.happens(RolloutResumed(step=0, reason="go on"))

    again = measurement(elapsed_ms=10_000, lasted_ms=66_000, counts=WRONG)
    events = past.when(lambda state: decided(state, JudgeStep(measurement=again))).then_events()

    assert [type(event) for event in events] == [StepJudged, RolloutAborted]


@pytest.mark.parametrize("jump_ms", [HOUR_MS, -HOUR_MS])
def test_a_resumed_step_gets_its_longest_duration_whatever_the_clock_says(jump_ms: int) -> None:
    past = given("stepping")
    undecided = measurement(elapsed_ms=60_000, lasted_ms=60_000, counts=THIN)
    past.happens(*past.when(lambda state: decided(state, JudgeStep(measurement=undecided))).then_events())
    past.happens(RolloutResumed(step=0, reason="go on"), at_ms=BEGAN_MS + 63_000 + jump_ms)

    soon = JudgeStep(measurement=measurement(elapsed_ms=119_999, lasted_ms=119_999, counts=THIN))

    past.when(lambda state: decided(state, soon)).then_nothing()
