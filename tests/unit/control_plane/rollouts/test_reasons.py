"""What people read first about a rollout: one short sentence."""

import pytest

from control_plane.rollouts.aggregate import RolloutState
from control_plane.rollouts.commands import JudgeStep, ReportWarmUp
from control_plane.rollouts.resources import ROLLOUTS
from schemas.events.rollouts import ErrorRateGate, Gate, LatencyGate, QualityGate, StepStarted
from tests.support.builders import GATES, HEALTHY, THIN, WRONG, canary, gate_counts, measurement, rollout_started
from tests.support.spec import Given
from tests.unit.control_plane.rollouts.phases import STEP_0, WARMED, decided, given

ALL_WRONG = (
    gate_counts("error_rate", (100, 1_000), (9, 9_000)),
    gate_counts("latency", (900, 1_000), (900, 9_000)),
    gate_counts("quality", (180, 1_000), (540, 9_000)),
)


def reason_of(past: Given[RolloutState | None], **changes: object) -> str:
    """Return the reason that all events of a measurement's decision give."""
    look = JudgeStep(measurement=measurement(**changes))
    (reason,) = {event.reason for event in past.when(lambda state: decided(state, look)).then_events()}  # type: ignore[attr-defined]
    assert isinstance(reason, str)
    return reason


def stepping(*, gates: tuple[Gate, ...] = GATES, **changes: object) -> Given[RolloutState | None]:
    return Given(ROLLOUTS, rollout_started(gates=gates, **changes), WARMED, STEP_0, stream="rollout-1")


@pytest.mark.parametrize(("gates", "told"), [(1, "the gate passes"), (2, "both gates pass"), (3, "all 3 gates pass")])
def test_a_step_is_raised_by_as_many_gates_as_there_are(gates: int, told: str) -> None:
    assert reason_of(stepping(gates=GATES[:gates])) == f"Raised to 25 %: {told} at 5 %."


def test_the_promotion_names_the_step_that_led_to_it() -> None:
    half = StepStarted(step=2, weight_percent=50.0, epoch=7, reason="good")

    assert reason_of(given("stepping", half), step=2, epoch=7) == "Promoted: all 3 gates pass at 50 %."


def test_of_several_failed_gates_the_one_that_is_farthest_beyond_its_limit_is_named() -> None:
    told = "Aborted at 5 %: requests over 250 ms rose from 10.0 % to 90.0 %"

    assert reason_of(stepping(), counts=ALL_WRONG) == f"{told}, and 2 more gates failed."
    assert reason_of(stepping(gates=GATES[:2]), counts=ALL_WRONG) == f"{told}, and 1 more gate failed."
    assert reason_of(stepping(), counts=WRONG) == "Aborted at 5 %: accuracy fell from 94.0 % to 82.0 %."


def test_the_end_of_the_bake_time_says_how_long_nothing_failed() -> None:
    baked = {"step": 3, "epoch": 8, "counts": HEALTHY}

    assert reason_of(given("baking"), **baked, elapsed_ms=5_040) == "Completed: no gate failed in 5.04 s at 100 %."
    assert reason_of(given("baking"), **baked, elapsed_ms=300_000) == "Completed: no gate failed in 5 min at 100 %."


def test_a_failure_after_the_promotion_says_so() -> None:
    bad = (gate_counts("error_rate", (400, 1_000), (0, 0)), *HEALTHY[1:])

    reason = reason_of(given("baking"), step=3, epoch=8, counts=bad)

    assert reason == "Aborted while baking at 100 %: error rate rose from 0.01 % to 40.0 %."


@pytest.mark.parametrize(
    ("max_ms", "told"),
    [(90_000, "90 s"), (3_600_000, "60 min"), (7_200_000, "2 h"), (5_400_000, "90 min"), (3 * 86_400_000, "3 days")],
)
def test_a_step_without_a_decision_says_how_long_it_waited(max_ms: int, told: str) -> None:
    past = stepping(gates=(GATES[2],), strategy=canary(max_ms=max_ms))

    assert reason_of(past, counts=THIN, elapsed_ms=max_ms) == (
        f"Paused at 5 %: no decision in {told}; quality has 12 of the 50 labels it needs on the candidate."
    )


def test_what_is_missing_is_told_before_what_is_merely_undecided() -> None:
    gates = (
        ErrorRateGate(max_increase=0.0, min_requests=50),
        LatencyGate(threshold_ms=250.0, max_increase=0.1, min_requests=5_000),
        QualityGate(feedback_name="digit", max_drop=0.02, min_labels=50),
    )
    counted = (*HEALTHY[:3], gate_counts("quality", (0, 0), (9, 90)))

    reason = reason_of(
        stepping(gates=gates, when_inconclusive="abort"),
        counts=counted,
        elapsed_ms=60_000,
        watermark_ms=1_700_000_160_000,
    )

    assert reason == (
        "Aborted at 5 %: no decision in 60 s; quality has had no labels called digit on the candidate since "
        "22:15:00 UTC, when the step was applied, and 2 more gates are open."
    )


def test_a_start_counts_the_instances() -> None:
    past = Given(ROLLOUTS, rollout_started(replicas=2))
    report = ReportWarmUp(ready_instances=2, elapsed_ms=1)

    step = past.when(lambda state: decided(state, report)).then_events()[1]

    assert step.reason == "Started at 5 %: 2 instances of the candidate answer their golden input."  # type: ignore[attr-defined]
