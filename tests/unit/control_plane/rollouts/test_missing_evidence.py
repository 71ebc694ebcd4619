"""What a step without enough evidence comes to, as its plan says."""

from collections.abc import Mapping

import pytest

from control_plane.rollouts.aggregate import RolloutState
from control_plane.rollouts.commands import JudgeStep
from control_plane.rollouts.resources import ROLLOUTS
from schemas.events.rollouts import (
    GateCounts,
    RolloutCompleted,
    RolloutPromoted,
    StepJudged,
    StepStarted,
)
from tests.support.builders import HEALTHY, gate_counts, measurement, rollout_started
from tests.support.spec import Given
from tests.unit.control_plane.rollouts.phases import STEP_0, WARMED, decided

ERRORS, CALLERS, LATENCY, QUALITY = HEALTHY
UNLABELLED = (ERRORS, CALLERS, LATENCY, gate_counts("quality", (0, 0), (0, 0)))
FEW_LABELS = (ERRORS, CALLERS, LATENCY, gate_counts("quality", (1, 20), (5, 100)))
QUIET = tuple(gate_counts(each.gate, (0, 3), (0, 3)) for each in HEALTHY)
SILENT = tuple(gate_counts(each.gate, (0, 0), (0, 0)) for each in HEALTHY)
FEW_SLOW_UNLABELLED = (ERRORS, CALLERS, gate_counts("latency", (0, 20), (0, 100)), UNLABELLED[3])
SLOW_UNDECIDED = (ERRORS, CALLERS, gate_counts("latency", (90, 1_000), (300, 9_000)), UNLABELLED[3])


HALF = StepStarted(step=2, weight_percent=50.0, epoch=7, reason="good")
PASS_BOTH = {"when_no_data": "pass", "when_too_little_data": "pass"}


def ending(
    plan: Mapping[str, object],
    counts: tuple[GateCounts, ...],
    *,
    after: StepStarted = STEP_0,
    freshness: str = "fresh",
) -> tuple[StepJudged, Given[RolloutState | None]]:
    """Return how a step ends whose longest duration is over, and what follows from it."""
    past = Given(ROLLOUTS, rollout_started(**plan), WARMED, after, stream="rollout-1")
    look = measurement(step=after.step, epoch=after.epoch, elapsed_ms=60_000, counts=counts, freshness=freshness)
    happened = past.when(lambda state: decided(state, JudgeStep(measurement=look))).then_events()
    judged = happened[0]
    assert isinstance(judged, StepJudged)
    return judged, past.happens(*happened)


@pytest.mark.parametrize(
    ("counts", "plan", "decision"),
    [
        (UNLABELLED, {}, "pause"),
        (UNLABELLED, {"when_inconclusive": "abort"}, "abort"),
        (UNLABELLED, {"when_no_data": "abort"}, "abort"),
        (UNLABELLED, {"when_no_data": "pause", "when_inconclusive": "abort"}, "pause"),
        (UNLABELLED, {"when_no_data": "pass", "when_inconclusive": "abort"}, "advance"),
        (UNLABELLED, {"when_too_little_data": "pass"}, "pause"),
        (FEW_LABELS, {"when_too_little_data": "pass"}, "advance"),
        (FEW_LABELS, {"when_too_little_data": "abort"}, "abort"),
        (FEW_LABELS, {"when_no_data": "pass"}, "pause"),
        (FEW_SLOW_UNLABELLED, {"when_no_data": "pass", "when_too_little_data": "abort"}, "abort"),
        (FEW_SLOW_UNLABELLED, {"when_no_data": "abort", "when_too_little_data": "pass"}, "abort"),
        (FEW_SLOW_UNLABELLED, {"when_no_data": "pass"}, "pause"),
        (FEW_SLOW_UNLABELLED, {"when_no_data": "pass", "when_too_little_data": "pass"}, "advance"),
        (SLOW_UNDECIDED, {"when_no_data": "pass"}, "pause"),
        (SLOW_UNDECIDED, {"when_no_data": "pass", "when_inconclusive": "abort"}, "abort"),
    ],
)
def test_each_kind_of_missing_evidence_has_its_setting_and_the_strictest_decides(
    counts: tuple[GateCounts, ...], plan: dict[str, object], decision: str
) -> None:
    judged, _past = ending(plan, counts)

    assert judged.decision == decision


@pytest.mark.parametrize(
    ("plan", "decision"),
    [
        ({}, "pause"),
        ({"when_late": "abort"}, "abort"),
        ({"when_late": "pause", "when_inconclusive": "abort"}, "pause"),
        ({"when_no_data": "pass", "when_too_little_data": "pass"}, "pause"),
    ],
)
def test_no_setting_lets_a_late_view_pass(plan: dict[str, object], decision: str) -> None:
    judged, _past = ending(plan, UNLABELLED, freshness="late")

    assert {verdict.outcome for verdict in judged.verdicts} == {"late"}
    assert judged.decision == decision


def test_records_that_never_reach_the_shortest_duration_are_late_whatever_gates_are_passed_over() -> None:
    plan = rollout_started(when_no_data="pass", when_late="abort")
    past = Given(ROLLOUTS, plan, WARMED, STEP_0, stream="rollout-1")
    stuck = measurement(elapsed_ms=1_000, lasted_ms=65_000, counts=UNLABELLED)

    judged, *_ = past.when(lambda state: decided(state, JudgeStep(measurement=stuck))).then_events()

    assert isinstance(judged, StepJudged)
    assert (judged.decision, judged.reason) == (
        "abort",
        "Aborted at 5 %: no decision in 60 s; the records reach only 1 s into the step.",
    )


def test_a_gate_is_waited_for_until_the_longest_duration_is_over() -> None:
    past = Given(ROLLOUTS, rollout_started(when_no_data="pass"), WARMED, STEP_0, stream="rollout-1")
    early = measurement(elapsed_ms=59_999, counts=UNLABELLED)

    past.when(lambda state: decided(state, JudgeStep(measurement=early))).then_nothing()


def test_a_gate_that_is_passed_over_says_so_in_its_verdict_and_in_the_reason() -> None:
    judged, _past = ending({"when_no_data": "pass"}, UNLABELLED)

    *others, quality = judged.verdicts
    assert [verdict.is_passed_over for verdict in others] == [False, False]
    assert (quality.outcome, quality.is_passed_over) == ("no_data", True)
    assert quality.reason == (
        "quality has had no labels called label on either side since 22:14:00 UTC, when the step was applied; "
        "it is passed over as configured"
    )
    assert judged.reason == "Raised to 25 %: 2 gates pass at 5 %; quality had no data and is passed over as configured."


def test_the_promotion_names_all_gates_that_had_no_say() -> None:
    some, promoted = ending(PASS_BOTH, FEW_SLOW_UNLABELLED, after=HALF)
    none, _past = ending(PASS_BOTH, SILENT, after=HALF)

    without = "and are passed over as configured."
    assert some.reason == f"Promoted: 1 gate passes at 50 %; latency and quality had no data or too little {without}"
    assert none.reason == f"Promoted: no gate passes at 50 %; error rate, latency and quality had no data {without}"
    assert promoted.state is not None
    assert promoted.state.phase == "baking"


def test_a_pause_names_the_gate_that_holds_the_step_back_and_none_that_is_passed_over() -> None:
    judged, _past = ending({"when_no_data": "pass"}, FEW_SLOW_UNLABELLED)

    assert judged.reason == (
        "Paused at 5 %: no decision in 60 s; latency has 20 of the 50 requests it needs on the candidate."
    )


def test_the_strictest_consequence_is_named_first() -> None:
    judged, _past = ending({"when_too_little_data": "abort"}, FEW_SLOW_UNLABELLED)

    assert judged.reason == (
        "Aborted at 5 %: no decision in 60 s; latency has 20 of the 50 requests it needs on the candidate, "
        "and 1 more gate is open."
    )


@pytest.mark.parametrize("quiet", [SILENT, QUIET])
def test_a_candidate_bakes_against_the_last_step_that_had_enough_traffic(quiet: tuple[GateCounts, ...]) -> None:
    _judged, past = ending(PASS_BOTH, HEALTHY)
    past.happens(HALF)
    silent = measurement(step=2, epoch=7, elapsed_ms=60_000, counts=quiet)
    events = past.when(lambda state: decided(state, JudgeStep(measurement=silent))).then_events()
    assert [type(event) for event in events] == [StepJudged, StepStarted, RolloutPromoted]
    past.happens(*events)
    bad = (gate_counts("error_rate", (400, 1_000), (0, 0)), *HEALTHY[1:])
    good = (gate_counts("error_rate", (0, 1_000), (0, 0)), *HEALTHY[1:])

    outcomes = []
    for counts in (bad, good):
        look = JudgeStep(measurement=measurement(step=3, epoch=9, watermark_ms=1_700_000_200_000, counts=counts))
        outcomes.append(past.when(lambda state, look=look: decided(state, look)).then_events())  # type: ignore[misc]

    assert outcomes[0][-1].reason == "Aborted while baking at 100 %: error rate rose from 0.01 % to 40.0 %."  # type: ignore[attr-defined]
    assert isinstance(outcomes[1][-1], RolloutCompleted)
