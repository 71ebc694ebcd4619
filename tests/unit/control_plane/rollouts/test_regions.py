"""What a rollout does about regions that do not serve its step."""

import pytest

from control_plane.rollouts import errors
from control_plane.rollouts.aggregate import RolloutState
from control_plane.rollouts.commands import JudgeStep, StartRollout
from control_plane.rollouts.decisions import decide
from control_plane.rollouts.policies import only_a_sound_plan_may_start
from control_plane.rollouts.resources import ROLLOUTS
from schemas.events.rollouts import (
    GateCounts,
    MissingSource,
    RegionAway,
    RegionsExcused,
    RolloutAborted,
    RolloutPaused,
    StepHeld,
    StepJudged,
    StepReleased,
    StepStarted,
)
from tests.support.builders import HEALTHY, gate_counts, measurement, rollout_started
from tests.support.spec import Given
from tests.unit.control_plane.rollouts.phases import STEP_0, WARMED, decided, given

BROKEN = (gate_counts("error_rate", (450, 1_000), (1, 9_000)), *HEALTHY[1:])


def away(*names: str, away_ms: int = 60_000, epoch: int = 3) -> tuple[RegionAway, ...]:
    return tuple(
        RegionAway(region=name, epoch=epoch, since="2026-11-30T14:03:07.120Z", away_ms=away_ms) for name in names
    )


def waiting(*names: str, waited_ms: int = 60_000, **changes: object) -> JudgeStep:
    """Make the report of a step of ten minutes that has not begun, as these regions do not serve it."""
    report = {
        "watermark_ms": 0,
        "elapsed_ms": 0,
        "freshness": "late",
        "counts": (),
        "lasted_ms": waited_ms,
        "has_begun": False,
        "away": away(*names, away_ms=waited_ms),
    }
    return JudgeStep(measurement=measurement(**report | changes))


def in_step(**plan: object) -> Given[RolloutState | None]:
    return Given(ROLLOUTS, rollout_started(**{"region_grace_ms": 20_000} | plan), WARMED, STEP_0, stream="rollout-1")


def state_of(past: Given[RolloutState | None]) -> RolloutState:
    assert past.state is not None
    return past.state


def test_a_step_is_held_once_by_a_region_that_is_away() -> None:
    past = in_step()
    past.when(lambda state: decided(state, waiting("us-east", waited_ms=19_999))).then_nothing()

    (held,) = past.when(lambda state: decided(state, waiting("us-east", waited_ms=20_000))).then_events()
    past.happens(held)

    assert held == StepHeld(
        step=0,
        epoch=5,
        regions=away("us-east", away_ms=20_000),
        reason="Held at 5 %: region us-east has been behind since 14:03:07 UTC and still serves epoch 3.",
    )
    assert (state_of(past).reason, state_of(past).held_by) == (held.reason, held.regions)
    past.when(lambda state: decided(state, waiting("us-east", waited_ms=21_000))).then_nothing()
    both = past.when(lambda state: decided(state, waiting("ap-south", "us-east", waited_ms=22_000))).then_events()
    assert [type(event) for event in both] == [StepHeld]


def test_a_region_that_has_been_behind_for_days_is_told_with_the_date() -> None:
    two_days_later_ms = 1_796_220_187_000
    look = waiting("us-east", waited_ms=20_000, watermark_ms=two_days_later_ms, lag_ms=500)

    (held,) = in_step().when(lambda state: decided(state, look)).then_events()

    assert isinstance(held, StepHeld)
    assert held.reason == (
        "Held at 5 %: region us-east has been behind since 2026-11-30 14:03:07 UTC and still serves epoch 3."
    )


def test_a_region_of_which_it_is_not_known_since_when_it_is_behind_is_told_without_a_time() -> None:
    unknown = (RegionAway(region="us-east", epoch=3, since="", away_ms=20_000),)

    (held,) = in_step().when(lambda state: decided(state, waiting(away=unknown, waited_ms=20_000))).then_events()

    assert isinstance(held, StepHeld)
    assert held.reason == "Held at 5 %: region us-east is behind and still serves epoch 3."


def test_a_candidate_that_fails_where_it_serves_already_is_aborted_while_its_step_waits() -> None:
    past = in_step()

    def seen(counts: tuple[GateCounts, ...]) -> JudgeStep:
        return waiting("us-east", waited_ms=1_000, freshness="fresh", watermark_ms=1_000, counts=counts)

    aborted = past.when(lambda state: decided(state, seen(BROKEN))).then_events()
    past.when(lambda state: decided(state, seen(HEALTHY))).then_nothing()

    assert [type(event) for event in aborted] == [StepJudged, RolloutAborted]
    judged = aborted[0]
    assert isinstance(judged, StepJudged)
    assert {verdict.outcome for verdict in judged.verdicts} == {"fail", "late"}


def test_a_step_that_was_held_begins_when_the_region_is_back() -> None:
    past = in_step()
    past.happens(StepHeld(step=0, epoch=5, regions=away("us-east"), reason="held"))
    begun = JudgeStep(measurement=measurement(elapsed_ms=100, lasted_ms=100))

    (released,) = past.when(lambda state: decided(state, begun)).then_events()
    past.happens(released)

    assert released == StepReleased(step=0, epoch=5, reason="Begun at 5 %: us-east is no longer behind.")
    assert state_of(past).held_by == ()
    past.when(lambda state: decided(state, begun)).then_nothing()


@pytest.mark.parametrize(("counts", "decision"), [(HEALTHY, "advance"), (BROKEN, "abort")], ids=["advances", "aborts"])
def test_a_held_step_that_is_decided_by_the_first_look_after_it_began_is_released_first(
    counts: tuple[GateCounts, ...], decision: str
) -> None:
    past = in_step()
    past.happens(StepHeld(step=0, epoch=5, regions=away("us-east"), reason="held"))
    begun = JudgeStep(measurement=measurement(elapsed_ms=600_000, lasted_ms=600_000, counts=counts))

    released, judged, *_ = past.when(lambda state: decided(state, begun)).then_events()

    assert released == StepReleased(step=0, epoch=5, reason="Begun at 5 %: us-east is no longer behind.")
    assert isinstance(judged, StepJudged)
    assert judged.decision == decision


def test_a_held_step_that_fails_before_it_begins_is_not_released() -> None:
    past = in_step()
    past.happens(StepHeld(step=0, epoch=5, regions=away("us-east"), reason="held"))

    decisive = past.when(
        lambda state: decided(state, waiting("us-east", freshness="fresh", watermark_ms=1_000, counts=BROKEN))
    ).then_events()

    assert [type(event) for event in decisive] == [StepJudged, RolloutAborted]


def test_a_region_is_excused_after_its_grace_where_the_plan_says_so() -> None:
    past = in_step(when_region_away="excuse")
    past.when(lambda state: decided(state, waiting("us-east", waited_ms=19_999))).then_nothing()

    (excused,) = past.when(lambda state: decided(state, waiting("us-east", waited_ms=20_000))).then_events()
    past.happens(excused)

    assert isinstance(excused, RegionsExcused)
    assert excused.reason == (
        "Goes on at 5 % without us-east: region us-east has been behind since 14:03:07 UTC and still serves epoch 3."
    )
    assert state_of(past).excused == away("us-east", away_ms=20_000)
    # A judge that has not heard of it yet says the same again.
    past.when(lambda state: decided(state, waiting("us-east", waited_ms=20_250))).then_nothing()


def test_the_verdicts_and_the_next_step_know_which_region_is_excused() -> None:
    past = in_step(when_region_away="excuse")
    past.happens(RegionsExcused(step=0, epoch=5, regions=away("us-east", "ap-south"), reason="away"))
    healthy = measurement(elapsed_ms=5_000, lasted_ms=5_000, excused=away("us-east"))

    judged, step = past.when(lambda state: decided(state, JudgeStep(measurement=healthy))).then_events()
    past.happens(judged, step)

    assert isinstance(judged, StepJudged)
    assert isinstance(step, StepStarted)
    assert judged.measurement.excused == away("us-east")
    assert {verdict.without_regions for verdict in judged.verdicts} == {("us-east",)}
    assert step.reason == "Raised to 25 %: all 3 gates pass at 5 %, without us-east."
    # The other one was back when the step was judged, so the next one waits for it again.
    assert state_of(past).excused == away("us-east")


def test_nothing_passes_before_a_step_has_begun() -> None:
    state = state_of(in_step())

    decision = decide(state, waiting("us-east", waited_ms=59_000), next_epoch=9)

    assert {verdict.outcome for verdict in decision.verdicts} == {"late"}
    assert decision.verdicts[0].reason == (
        "region us-east has been behind since 14:03:07 UTC and still serves epoch 3, so the step has not begun"
    )


@pytest.mark.parametrize(("plan", "ends"), [("pause", RolloutPaused), ("abort", RolloutAborted)])
def test_a_step_that_never_begins_ends_at_its_longest_duration(plan: str, ends: type) -> None:
    past = in_step(when_inconclusive=plan)
    past.happens(StepHeld(step=0, epoch=5, regions=away("us-east"), reason="held"))

    judged, end = past.when(lambda state: decided(state, waiting("us-east", waited_ms=60_000))).then_events()

    assert isinstance(judged, StepJudged)
    assert type(end) is ends
    assert isinstance(end, RolloutPaused | RolloutAborted)
    assert "region us-east has been behind since 14:03:07 UTC and still serves epoch 3" in judged.reason
    assert end.reason == judged.reason


def test_a_step_that_no_gateway_serves_ends_too() -> None:
    judged, _ = in_step().when(lambda state: decided(state, waiting(waited_ms=60_000))).then_events()

    assert isinstance(judged, StepJudged)
    assert "no gateway serves epoch 5, so the step has not begun" in judged.reason


def test_a_promoted_candidate_bakes_only_when_every_region_serves_it() -> None:
    unserved = waiting("us-east", waited_ms=600_000, step=3, epoch=8)

    (held,) = given("baking").when(lambda state: decided(state, unserved)).then_events()

    assert isinstance(held, StepHeld)
    assert held.reason.startswith("Held at 100 %: region us-east has been behind")


@pytest.mark.parametrize("region_grace_ms", [999, 24 * 3_600_000 + 1])
def test_a_grace_that_makes_no_sense_is_refused(region_grace_ms: int) -> None:
    with pytest.raises(errors.InvalidRolloutError) as refused:
        only_a_sound_plan_may_start(
            StartRollout(endpoint="digits", version="digits/2", region_grace_ms=region_grace_ms)
        )

    assert refused.value.field == "region_grace_ms"


LATE_BY_EAST = {
    "freshness": "late",
    "lag_ms": 40_000,
    "lasted_ms": 50_000,
    "missing": (MissingSource(source="shipper-1", region="us-east", since_ms=1_700_000_100_000),),
}


def test_a_region_that_goes_silent_in_a_step_is_excused_where_the_plan_says_so() -> None:
    silent = JudgeStep(measurement=measurement(away=away("us-east", epoch=5, away_ms=20_000), **LATE_BY_EAST))

    (excused,) = in_step(when_region_away="excuse").when(lambda state: decided(state, silent)).then_events()

    assert isinstance(excused, RegionsExcused)
    assert excused.reason == "Goes on at 5 % without us-east: nothing has come from us-east since 14:03:07 UTC."


def test_it_makes_the_step_late_where_regions_are_waited_for() -> None:
    silent = measurement(away=away("us-east", epoch=5, away_ms=20_000), **LATE_BY_EAST)

    decision = decide(state_of(in_step()), JudgeStep(measurement=silent), next_epoch=9)

    assert decision.events == ()
    assert decision.verdicts[0].reason.endswith(": shipper-1 in us-east holds them back")
