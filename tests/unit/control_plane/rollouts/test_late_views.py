"""What a view that is behind may decide, and what it says."""

import pytest

from control_plane.rollouts.commands import JudgeStep
from control_plane.rollouts.decisions import decide
from control_plane.rollouts.resources import ROLLOUTS
from schemas.events.rollouts import Counts, MissingSource, RolloutAborted, RolloutPaused, StepJudged
from tests.support.builders import THIN, WRONG, canary, measurement, rollout_started
from tests.support.spec import Given
from tests.unit.control_plane.rollouts.phases import STEP_0, WARMED, decided, given

LATE = {"freshness": "late", "lag_ms": 5_001, "watermark_ms": 1_700_000_100_000, "waiting_for": ("shipper-1", "boot-2")}


def test_a_late_view_passes_nothing_and_says_what_is_missing_since_when() -> None:
    state = given("stepping").state
    assert state is not None

    decision = decide(state, JudgeStep(measurement=measurement(**LATE)), next_epoch=9)

    assert decision.events == ()
    assert {verdict.outcome for verdict in decision.verdicts} == {"late"}
    assert decision.verdicts[0].reason == (
        "records since 22:15:00 UTC are missing, 5 s so far: shipper-1 and 1 more hold them back"
    )
    assert decision.verdicts[0].candidate == Counts(bad=0, trials=1_000)
    given("baking").when(
        lambda state: decided(state, JudgeStep(measurement=measurement(step=3, epoch=8, **LATE)))
    ).then_nothing()


AHEAD = MissingSource(source="shipper-1", region="us-east", since_ms=1_700_003_700_000, ahead_ms=3_600_000)
BEHIND = MissingSource(source="shipper-2", region="ap-south", since_ms=1_700_000_100_000)
CLOCK = "the clock of shipper-1 in us-east is 60 min ahead, so nobody can tell which of its records are missing"


@pytest.mark.parametrize(
    ("missing", "reason"),
    [
        ((AHEAD,), CLOCK),
        ((BEHIND, AHEAD), f"records since 22:15:00 UTC are missing: shipper-2 in ap-south holds them back; {CLOCK}"),
    ],
)
def test_a_clock_that_is_ahead_is_called_so(missing: tuple[MissingSource, ...], reason: str) -> None:
    look = measurement(**LATE | {"lag_ms": 3_600_000, "missing": missing})
    state = given("stepping").state
    assert state is not None

    decision = decide(state, JudgeStep(measurement=look), next_epoch=9)

    assert {verdict.reason for verdict in decision.verdicts} == {reason}


def test_what_a_late_view_has_counted_fails_the_candidate() -> None:
    late = measurement(**LATE, counts=WRONG, elapsed_ms=1_000)

    judged, aborted = given("stepping").when(lambda state: decided(state, JudgeStep(measurement=late))).then_events()

    assert isinstance(judged, StepJudged)
    assert [verdict.outcome for verdict in judged.verdicts] == ["late", "late", "fail"]
    assert isinstance(aborted, RolloutAborted)
    assert aborted.reason == "Aborted at 5 %: accuracy fell from 94.0 % to 82.0 %."


def test_a_view_that_lags_less_than_the_rollout_allows_passes() -> None:
    allowing = rollout_started(max_lag_ms=30_000)
    past = Given(ROLLOUTS, allowing, WARMED, STEP_0, stream="rollout-1")

    for lag_ms, is_over in ((30_001, False), (30_000, True)):
        look = JudgeStep(measurement=measurement(**LATE | {"lag_ms": lag_ms}))
        events = past.when(lambda state, look=look: decided(state, look)).then_events()  # type: ignore[misc]
        assert bool(events) is is_over


def test_a_step_whose_shortest_duration_is_its_longest_waits_for_records_that_may_lag() -> None:
    """Its newest records are on their way when its time is up."""
    plan = rollout_started(strategy=canary(min_ms=60_000, max_ms=60_000), max_lag_ms=30_000)
    past = Given(ROLLOUTS, plan, WARMED, STEP_0, stream="rollout-1")
    over = {"lasted_ms": 60_500, "freshness": "late", "elapsed_ms": 54_500}

    behind = JudgeStep(measurement=measurement(**over, lag_ms=6_000))
    stalled = JudgeStep(measurement=measurement(**over, lag_ms=30_001))

    past.when(lambda state: decided(state, behind)).then_nothing()
    ended = past.when(lambda state: decided(state, stalled)).then_events()
    assert [type(event) for event in ended] == [StepJudged, RolloutPaused]


def test_a_judge_that_does_not_say_how_late_a_view_is_passes_nothing() -> None:
    look = measurement(freshness="late", elapsed_ms=20_000)

    given("stepping").when(lambda state: decided(state, JudgeStep(measurement=look))).then_nothing()


def test_a_lag_does_not_make_up_for_the_shortest_duration() -> None:
    early = measurement(freshness="late", elapsed_ms=2_999, lag_ms=4_000)

    given("stepping").when(lambda state: decided(state, JudgeStep(measurement=early))).then_nothing()


@pytest.mark.parametrize(("elapsed_ms", "lag_ms"), [(60_000, 0), (20_000, 40_000)])
def test_a_view_that_stays_late_beyond_the_longest_duration_is_inconclusive(elapsed_ms: int, lag_ms: int) -> None:
    late = JudgeStep(measurement=measurement(freshness="late", elapsed_ms=elapsed_ms, lag_ms=lag_ms, counts=THIN))

    events = given("stepping").when(lambda state: decided(state, late)).then_events()

    assert [type(event) for event in events] == [StepJudged, RolloutPaused]


def test_a_step_that_waits_for_records_names_them_once() -> None:
    late = JudgeStep(measurement=measurement(**LATE, elapsed_ms=60_000))

    judged, _paused = given("stepping").when(lambda state: decided(state, late)).then_events()

    assert isinstance(judged, StepJudged)
    assert judged.reason == (
        "Paused at 5 %: no decision in 60 s; records since 22:15:00 UTC are missing, 5 s so far: "
        "shipper-1 and 1 more hold them back."
    )


def test_a_region_that_is_lost_for_long_is_missing_since_before_the_watermark() -> None:
    lost = MissingSource(source="shipper-1", region="us-east", since_ms=1_700_000_100_000 - 960_000)
    look = measurement(**LATE | {"lag_ms": 960_000, "missing": (lost,), "waiting_for": ("shipper-1",)})
    state = given("stepping").state
    assert state is not None

    decision = decide(state, JudgeStep(measurement=look), next_epoch=9)

    assert decision.verdicts[0].reason == (
        "records since 21:59:00 UTC are missing, 16 min so far: shipper-1 in us-east holds them back"
    )
