from typing import Any, get_args

import pytest

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
)
from schemas.measurement import Arm, MeasureEpochOf
from tests.support.builders import BASELINE, CANDIDATE
from tests.unit.workers.rollout_judge.pictures import AT_MS, ENDPOINT, ROLLOUT, active, picture, view
from workers.rollout_judge.looks import (
    ReportWarmUp,
    measurement_of,
    next_action,
    sent_of,
    unseen_measurement,
)
from workers.rollout_judge.state import Watched

NOW_S = 100.0


def watched(**changes: object) -> Watched:
    return picture(*active(**changes)).rollouts[ROLLOUT]  # type: ignore[arg-type]  # of a rollout, or of what it is about


def warming(**changes: object) -> Watched:
    return watched(phase="warming", step=None, epoch=None, applied_at=None, **changes)


def test_a_warm_candidate_is_reported() -> None:
    report = next_action(warming(), now_s=101.0)

    assert report == ReportWarmUp(ready_instances=1, elapsed_ms=91_000, failure=None)


def test_a_cold_candidate_is_not_worth_a_word_before_the_timeout() -> None:
    cold = warming(instances=0, warm_up_timeout_ms=120_000)

    assert next_action(cold, now_s=129.9) is None
    assert next_action(cold, now_s=130.0) == ReportWarmUp(ready_instances=0, elapsed_ms=120_000, failure=None)


def test_a_candidate_that_was_given_up_is_reported_at_once() -> None:
    failed = warming(instances=0, failure="it differs", warm_up_timeout_ms=10**9)

    report = next_action(failed, now_s=100.0)

    assert report == ReportWarmUp(ready_instances=0, elapsed_ms=90_000, failure="wrong-digest: it differs")


def test_an_instance_given_up_does_not_matter_where_enough_others_are_ready() -> None:
    report = next_action(warming(failure="it differs"), now_s=100.0)

    assert isinstance(report, ReportWarmUp)
    assert report.failure is None


def question(**asked: Any) -> MeasureEpochOf:  # noqa: ANN401  of any type
    return MeasureEpochOf(endpoint=ENDPOINT, epoch=5, candidate=CANDIDATE, baseline=BASELINE, **asked)


@pytest.mark.parametrize("phase", ["stepping", "baking"])
def test_a_step_that_is_applied_is_measured(phase: str) -> None:
    assert next_action(watched(phase=phase), now_s=100.0) == question(latency_threshold_ms=250.0, feedback_name="label")


def test_the_view_is_asked_only_for_what_gates_need() -> None:
    look = next_action(watched(gates=(ErrorRateGate(max_increase=0.1, min_requests=1),)), now_s=100.0)

    assert look == question()


EACH_GATE: tuple[tuple[Gate, dict[str, Any], Arm], ...] = (
    (ErrorRateGate(max_increase=0.1, min_requests=1), {}, Arm(requests=50, errors=7)),
    (CallerErrorRateGate(max_increase=0.1, min_requests=1), {}, Arm(requests=50, refused=7)),
    (
        LatencyGate(threshold_ms=2.5, max_increase=0.1, min_requests=1),
        {"latency_threshold_ms": 2.5},
        Arm(requests=50, slow=7),
    ),
    (
        QualityGate(feedback_name="label", max_drop=0.1, min_labels=1),
        {"feedback_name": "label"},
        Arm(labelled=50, wrong=7),
    ),
    (
        LossGate(feedback_name="loss", threshold=4.5, max_increase=0.1, min_labels=1),
        {"loss_name": "loss", "loss_threshold": 4.5},
        Arm(scored=50, over=7),
    ),
    (
        RatingGate(feedback_name="stars", threshold=3.0, max_increase=0.1, min_labels=1),
        {"rating_name": "stars", "rating_threshold": 3.0},
        Arm(rated=50, under=7),
    ),
    (
        FirstTokenGate(threshold_ms=300.0, max_increase=0.1, min_requests=1),
        {"first_token_threshold_ms": 300.0},
        Arm(streams=50, late=7),
    ),
    (
        BetweenTokensGate(threshold_ms=40.0, max_increase=0.1, min_requests=1),
        {"between_tokens_threshold_ms": 40.0},
        Arm(paced=50, slow_between=7),
    ),
    (TruncationGate(max_increase=0.1, min_requests=1), {"truncation": True}, Arm(answers=50, truncated=7)),
    (
        AnswerTokensGate(threshold=500, max_increase=0.1, min_requests=1),
        {"answer_tokens_threshold": 500},
        Arm(counted=50, long=7),
    ),
)


def test_every_kind_of_gate_is_looked_at_here() -> None:
    assert {type(gate) for gate, _, _ in EACH_GATE} == set(get_args(Gate))


@pytest.mark.parametrize(("gate", "asked", "arm"), EACH_GATE, ids=lambda value: type(value).__name__)
def test_a_gate_asks_for_what_it_needs_and_gets_its_own_counts(gate: Gate, asked: dict[str, Any], arm: Arm) -> None:
    look = next_action(watched(gates=(gate,)), now_s=100.0)
    measurement = measurement_of(watched(gates=(gate,)), view(arms={CANDIDATE: arm}), now_s=NOW_S)

    assert look == question(**asked)
    assert measurement is not None
    kind = str(gate.__struct_config__.tag)
    assert measurement.counts == (
        GateCounts(gate=kind, candidate=Counts(trials=50, bad=7), baseline=Counts(trials=0, bad=0)),
    )


def test_a_paused_rollout_is_measured_as_its_candidate_still_answers() -> None:
    assert next_action(watched(phase="paused"), now_s=100.0) == next_action(watched(), now_s=100.0) is not None


def test_each_gate_gets_the_counts_that_it_judges() -> None:
    measurement = measurement_of(watched(), view(), now_s=NOW_S)

    assert measurement is not None
    assert measurement.counts == (
        GateCounts(gate="error_rate", candidate=Counts(trials=500, bad=1), baseline=Counts(trials=9_500, bad=3)),
        GateCounts(gate="latency", candidate=Counts(trials=500, bad=2), baseline=Counts(trials=9_500, bad=9)),
        GateCounts(gate="quality", candidate=Counts(trials=450, bad=30), baseline=Counts(trials=9_000, bad=1_700)),
    )


def test_the_elapsed_time_is_that_of_the_data() -> None:
    measurement = measurement_of(watched(), view(), now_s=NOW_S)

    assert measurement is not None
    assert (measurement.elapsed_ms, measurement.watermark_ms) == (10_000, AT_MS - 50_000)


def test_of_a_late_view_is_said_how_late_it_is_and_for_what_it_waits() -> None:
    measurement = measurement_of(
        watched(), view(freshness="late", lag_ms=30_000, waiting_for=("shipper-1",)), now_s=NOW_S
    )

    assert measurement is not None
    assert (measurement.freshness, measurement.elapsed_ms) == ("late", 10_000)
    assert (measurement.lag_ms, measurement.waiting_for) == (30_000, ("shipper-1",))


def test_a_view_that_stood_still_before_the_step_began_is_late_too() -> None:
    measurement = measurement_of(
        watched(), view(freshness="late", watermark_ms=AT_MS - 61_000, lag_ms=61_000), now_s=NOW_S
    )

    assert measurement is not None
    assert measurement.elapsed_ms == -1_000


def test_a_view_that_has_no_watermark_says_nothing() -> None:
    assert measurement_of(watched(), view(watermark_ms=None, freshness="no_data"), now_s=NOW_S) is None


def test_where_no_view_comes_the_time_is_that_of_the_judge() -> None:
    unseen = unseen_measurement(watched(), now_s=102.5)

    assert unseen is not None
    assert (unseen.freshness, unseen.elapsed_ms, unseen.counts) == ("late", 62_500, ())


def test_the_time_does_not_run_before_the_gateways_serve_the_step() -> None:
    unseen = unseen_measurement(watched(applied_at=None), now_s=102.5)
    seen = measurement_of(watched(applied_at=None), view(), now_s=102.5)

    assert unseen is not None
    assert seen is not None
    assert (unseen.has_begun, unseen.elapsed_ms) == (seen.has_begun, seen.elapsed_ms) == (False, 0)


def test_an_arm_that_the_view_does_not_know_counts_nothing() -> None:
    measurement = measurement_of(watched(), view(arms={}), now_s=NOW_S)

    assert measurement is not None
    assert {each.candidate.trials for each in measurement.counts} == {0}


def test_a_higher_watermark_is_news_and_without_one_each_second() -> None:
    def sent(now_s: float = 102.1, **changes: object) -> object:
        measurement = measurement_of(watched(), view(**changes), now_s=now_s)
        assert measurement is not None
        return sent_of(measurement)

    assert sent() == sent(lag_ms=9_000) == sent(now_s=102.9)
    assert sent() != sent(watermark_ms=AT_MS - 49_999)
    assert sent() != sent(now_s=103.1)
