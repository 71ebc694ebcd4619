"""What every gate promises, run over each kind."""

import random
import sys
from collections.abc import Sequence
from types import FrameType

import pytest

from control_plane.rollouts.gates.comparison import compare
from control_plane.rollouts.gates.sequential import bound_difference
from control_plane.rollouts.gates.table import RULES, rule_of
from schemas.events.rollouts import (
    AnswerTokensGate,
    BetweenTokensGate,
    CallerErrorRateGate,
    Counts,
    ErrorRateGate,
    FirstTokenGate,
    Gate,
    GateCounts,
    LatencyGate,
    LossGate,
    QualityGate,
    RatingGate,
    TruncationGate,
    Verdict,
)

ALPHA = 0.05 / 12
ALLOWED = 0.02
SINCE_MS = 1_700_000_100_000
QUALITY = QualityGate(feedback_name="label", max_drop=ALLOWED, min_labels=100)
GATES: tuple[Gate, ...] = (
    ErrorRateGate(max_increase=ALLOWED, min_requests=100),
    CallerErrorRateGate(max_increase=ALLOWED, min_requests=100),
    LatencyGate(threshold_ms=250.0, max_increase=ALLOWED, min_requests=100),
    QUALITY,
    LossGate(feedback_name="loss", threshold=4.0, max_increase=ALLOWED, min_labels=100),
    RatingGate(feedback_name="stars", threshold=3.0, max_increase=ALLOWED, min_labels=100),
    FirstTokenGate(threshold_ms=300.0, max_increase=ALLOWED, min_requests=100),
    BetweenTokensGate(threshold_ms=40.0, max_increase=ALLOWED, min_requests=100),
    TruncationGate(max_increase=ALLOWED, min_requests=100),
    AnswerTokensGate(threshold=500, max_increase=ALLOWED, min_requests=100),
)
TIGHT = ErrorRateGate(max_increase=0.0, min_requests=100)
each_gate = pytest.mark.parametrize("gate", GATES, ids=lambda gate: type(gate).__name__)


def counts(bad: int, trials: int) -> Counts:
    return Counts(bad=bad, trials=trials)


def judge(gate: Gate, candidate: tuple[int, int], baseline: tuple[int, int]) -> Verdict:
    measured = GateCounts(gate=rule_of(gate).kind, candidate=counts(*candidate), baseline=counts(*baseline))
    return compare(rule_of(gate).terms(), measured, alpha=ALPHA, since_ms=SINCE_MS)


def test_every_kind_of_gate_is_in_this_suite() -> None:
    assert {type(gate) for gate in GATES} == set(RULES)


@each_gate
def test_a_gate_goes_by_the_name_that_requests_use(gate: Gate) -> None:
    assert rule_of(gate).kind == gate.__struct_config__.tag


@each_gate
def test_a_much_worse_candidate_fails(gate: Gate) -> None:
    assert judge(gate, (180, 1_000), (540, 9_000)).outcome == "fail"


@each_gate
def test_a_better_candidate_passes(gate: Gate) -> None:
    assert judge(gate, (60, 1_000), (1_700, 9_000)).outcome == "pass"


@each_gate
def test_a_few_requests_decide_nothing(gate: Gate) -> None:
    assert judge(gate, (2, 20), (20, 380)).outcome == "too_little_data"


@each_gate
def test_a_small_difference_stays_undecided_until_there_is_enough_of_it(gate: Gate) -> None:
    assert judge(gate, (26, 300), (420, 6_000)).outcome == "undecided"


@each_gate
@pytest.mark.parametrize(("candidate", "baseline"), [((0, 0), (0, 10)), ((0, 10), (0, 0)), ((0, 0), (0, 0))])
def test_an_arm_without_trials_is_no_data(gate: Gate, candidate: tuple[int, int], baseline: tuple[int, int]) -> None:
    verdict = judge(gate, candidate, baseline)

    assert (verdict.outcome, verdict.lower, verdict.upper) == ("no_data", None, None)


@each_gate
def test_fewer_trials_than_the_minimum_never_pass(gate: Gate) -> None:
    assert judge(gate, (0, 99), (90, 100)).outcome == "too_little_data"


@each_gate
def test_a_verdict_carries_what_it_rests_on(gate: Gate) -> None:
    verdict = judge(gate, (180, 1_000), (540, 9_000))

    assert verdict.subject
    assert verdict.unit in {"requests", "labels", "ratings", "streams", "answers"}
    assert (verdict.candidate, verdict.baseline) == (counts(180, 1_000), counts(540, 9_000))
    assert (verdict.max_difference, verdict.min_trials) == (ALLOWED, 100)


@each_gate
def test_a_failure_is_told_by_the_shares_of_both_sides(gate: Gate) -> None:
    reason = judge(gate, (180, 1_000), (540, 9_000)).reason

    assert reason.endswith("fell from 94.0 % to 82.0 %" if gate is QUALITY else "rose from 6.0 % to 18.0 %")


@pytest.mark.parametrize(
    ("gate", "candidate", "baseline", "reason"),
    [
        (QUALITY, (56, 312), (355, 5_910), "accuracy fell from 94.0 % to 82.1 %"),
        (GATES[0], (100, 10_000), (800, 90_000), "error rate held: 1.0 % vs 0.89 %"),
        (TIGHT, (5_030_000, 10**9), (4_970_000, 10**9), "error rate rose from 0.497 % to 0.503 %"),
        (GATES[2], (26, 300), (420, 6_000), "latency is undecided: 8.7 % vs 7.0 %"),
        (GATES[1], (2, 20), (20, 380), "caller error rate has 20 of the 100 requests it needs on the candidate"),
        (GATES[5], (2, 120), (2, 19), "rating has 19 of the 100 ratings it needs on the baseline"),
        (
            QUALITY,
            (0, 0),
            (0, 10),
            "quality has had no labels called label on the candidate since 22:15:00 UTC, when the step was applied",
        ),
        (
            GATES[6],
            (0, 0),
            (0, 0),
            "first token has had no streams on either side since 22:15:00 UTC, when the step was applied",
        ),
    ],
)
def test_a_reason_is_one_short_clause(
    gate: Gate, candidate: tuple[int, int], baseline: tuple[int, int], reason: str
) -> None:
    assert judge(gate, candidate, baseline).reason == reason


@pytest.mark.parametrize(
    ("gate", "field"),
    [
        (ErrorRateGate(max_increase=-0.01, min_requests=1), "max_increase"),
        (ErrorRateGate(max_increase=1.0, min_requests=1), "max_increase"),
        (ErrorRateGate(max_increase=float("nan"), min_requests=1), "max_increase"),
        (ErrorRateGate(max_increase=0.1, min_requests=0), "min_requests"),
        (CallerErrorRateGate(max_increase=1.0, min_requests=1), "max_increase"),
        (CallerErrorRateGate(max_increase=0.1, min_requests=0), "min_requests"),
        (LatencyGate(threshold_ms=0, max_increase=0.1, min_requests=1), "threshold_ms"),
        (LatencyGate(threshold_ms=float("inf"), max_increase=0.1, min_requests=1), "threshold_ms"),
        (LatencyGate(threshold_ms=1, max_increase=2, min_requests=1), "max_increase"),
        (LatencyGate(threshold_ms=1, max_increase=0.1, min_requests=-1), "min_requests"),
        (QualityGate(feedback_name=" ", max_drop=0.1, min_labels=1), "feedback_name"),
        (QualityGate(feedback_name="label", max_drop=-1, min_labels=1), "max_drop"),
        (QualityGate(feedback_name="label", max_drop=0.1, min_labels=0), "min_labels"),
        (LossGate(feedback_name="", threshold=4, max_increase=0.1, min_labels=1), "feedback_name"),
        (LossGate(feedback_name="loss", threshold=float("nan"), max_increase=0.1, min_labels=1), "threshold"),
        (LossGate(feedback_name="loss", threshold=4, max_increase=1, min_labels=1), "max_increase"),
        (LossGate(feedback_name="loss", threshold=4, max_increase=0.1, min_labels=0), "min_labels"),
        (RatingGate(feedback_name=" ", threshold=3, max_increase=0.1, min_labels=1), "feedback_name"),
        (RatingGate(feedback_name="stars", threshold=float("inf"), max_increase=0.1, min_labels=1), "threshold"),
        (RatingGate(feedback_name="stars", threshold=3, max_increase=-0.1, min_labels=1), "max_increase"),
        (RatingGate(feedback_name="stars", threshold=3, max_increase=0.1, min_labels=0), "min_labels"),
        (FirstTokenGate(threshold_ms=0, max_increase=0.1, min_requests=1), "threshold_ms"),
        (FirstTokenGate(threshold_ms=1, max_increase=1, min_requests=1), "max_increase"),
        (BetweenTokensGate(threshold_ms=float("nan"), max_increase=0.1, min_requests=1), "threshold_ms"),
        (BetweenTokensGate(threshold_ms=1, max_increase=0.1, min_requests=0), "min_requests"),
        (TruncationGate(max_increase=float("nan"), min_requests=1), "max_increase"),
        (AnswerTokensGate(threshold=0, max_increase=0.1, min_requests=1), "threshold"),
    ],
)
def test_a_parameter_that_makes_no_sense_is_named_with_a_remedy(gate: Gate, field: str) -> None:
    (problem,) = rule_of(gate).problems()

    assert problem.field == field
    assert problem.detail
    assert problem.remedy


@each_gate
def test_sound_parameters_have_no_problems(gate: Gate) -> None:
    assert rule_of(gate).problems() == ()


EXTREMES = [
    ((0, 1), (0, 1)),
    ((1, 1), (0, 1)),
    ((0, 1), (1, 1)),
    ((0, 10**9), (0, 10**9)),
    ((10**9, 10**9), (10**9, 10**9)),
    ((0, 10**9), (10**9, 10**9)),
    ((1, 10**9), (1, 10**9)),
    ((10**9 - 1, 10**9), (1, 10**9)),
    ((5 * 10**8, 10**9), (3, 7)),
    ((3, 7), (5 * 10**8, 10**9)),
]


@pytest.mark.parametrize(("candidate", "baseline"), EXTREMES)
def test_bounds_are_ordered_numbers_at_every_extreme(candidate: tuple[int, int], baseline: tuple[int, int]) -> None:
    difference = bound_difference(counts(*candidate), counts(*baseline), alpha=ALPHA)

    assert -1 <= difference.lower <= difference.estimate <= difference.upper <= 1


def test_a_billion_trials_leave_hardly_any_doubt() -> None:
    difference = bound_difference(counts(10**7, 10**9), counts(10**7, 10**9), alpha=ALPHA)

    assert difference.upper - difference.lower < 1e-4


def test_bounds_turn_with_their_outcomes() -> None:
    straight = bound_difference(counts(3, 50), counts(70, 400), alpha=ALPHA)

    turned = bound_difference(counts(47, 50), counts(330, 400), alpha=ALPHA)

    assert (turned.lower, turned.upper) == pytest.approx((-straight.upper, -straight.lower))


def test_less_allowed_error_gives_a_wider_interval() -> None:
    loose, strict = (bound_difference(counts(9, 100), counts(90, 900), alpha=alpha) for alpha in (0.05, 0.001))

    assert strict.lower < loose.lower < loose.upper < strict.upper


@pytest.mark.parametrize(("candidate", "baseline"), [((56, 312), (355, 5_910)), *EXTREMES])
def test_a_verdict_takes_few_steps_however_many_trials_there_were(
    candidate: tuple[int, int], baseline: tuple[int, int]
) -> None:
    steps = 0

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal steps
        steps += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        judge(QUALITY, candidate, baseline)
    finally:
        sys.setprofile(before)

    # 1,900 for a few thousand labels, which is half a millisecond.
    assert 0 < steps < 3_000


Look = tuple[Counts, Counts]


def path(chance: random.Random, shares: tuple[float, float], sizes: tuple[int, int], looks: int) -> Sequence[Look]:
    """Draw the cumulative counts of both arms over many looks, early ones close together."""
    bad, trials, seen = [0, 0], [0, 0], []
    for look in range(looks):
        growth = 1 + look // 8
        for arm in (0, 1):
            drawn = sizes[arm] * growth
            trials[arm] += drawn
            bad[arm] += sum(chance.random() < shares[arm] for _ in range(drawn))
        seen.append((counts(bad[0], trials[0]), counts(bad[1], trials[1])))
    return seen


@pytest.mark.parametrize(
    ("shares", "sizes"),
    [((0.06, 0.06), (4, 20)), ((0.5, 0.5), (8, 8)), ((0.02, 0.02), (12, 12)), ((0.19, 0.17), (4, 20))],
)
def test_the_true_difference_is_left_out_less_often_than_allowed(
    shares: tuple[float, float], sizes: tuple[int, int]
) -> None:
    chance, alpha, paths = random.Random(20_261_123), 0.1, 120
    truth = shares[0] - shares[1]

    missed = 0
    for _ in range(paths):
        bounds = (bound_difference(*look, alpha=alpha) for look in path(chance, shares, sizes, 24))
        missed += any(not each.lower <= truth <= each.upper for each in bounds)

    assert missed <= alpha * paths / 2


def labels_until(outcome: str, gate: Gate, *, candidate: float, baseline: float, runs: int = 20) -> float:
    """Return the mean number of the candidate's labels at 5 % of the traffic when a gate says so."""
    chance, needed = random.Random(7), []
    for _ in range(runs):
        for own, other in path(chance, (candidate, baseline), (5, 95), 60):
            verdict = judge(gate, (own.bad, own.trials), (other.bad, other.trials))
            if verdict.outcome in ("pass", "fail"):
                assert verdict.outcome == outcome
                needed.append(own.trials)
                break
        else:
            pytest.fail("the gate decided nothing on 1,350 labels")
    return sum(needed) / len(needed)


def test_eleven_points_less_accuracy_are_found_within_a_few_hundred_labels() -> None:
    assert labels_until("fail", QUALITY, candidate=0.17, baseline=0.06) < 400


def test_thirteen_points_more_accuracy_pass_within_a_few_hundred_labels() -> None:
    assert labels_until("pass", QUALITY, candidate=0.06, baseline=0.19) < 250
