import pytest

from schemas.events.rollouts import Counts, ErrorRateGate, GateCounts, LossGate
from tests.support.builders import BASELINE, CANDIDATE
from tests.unit.workers.rollout_judge.pictures import AT_MS, ENDPOINT, ROLLOUT, active, snapshot, view
from workers.rollout_judge.answers import Arm
from workers.rollout_judge.looks import LookAtView, ReportWarmUp, measurement_of, nothing_seen, sent_of, what_to_do
from workers.rollout_judge.state import Watched, from_snapshot


def watched(**changes: object) -> Watched:
    return from_snapshot(snapshot(active(**changes)), seen_s=100.0)[ROLLOUT]


def warming(**changes: object) -> Watched:
    return watched(phase="warming", step=None, epoch=None, applied_at=None, **changes)


def test_a_warm_candidate_is_reported() -> None:
    report = what_to_do(warming(), now_s=101.0)

    assert report == ReportWarmUp(ready_instances=1, elapsed_ms=91_000, failure=None)


def test_a_cold_candidate_is_not_worth_a_word_before_the_timeout() -> None:
    cold = warming(candidate_instances=(), warm_up_timeout_ms=120_000)

    assert what_to_do(cold, now_s=129.9) is None
    assert what_to_do(cold, now_s=130.0) == ReportWarmUp(ready_instances=0, elapsed_ms=120_000, failure=None)


def test_a_candidate_that_was_given_up_is_reported_at_once() -> None:
    failed = warming(candidate_instances=(), candidate_failure="wrong-digest: it differs", warm_up_timeout_ms=10**9)

    report = what_to_do(failed, now_s=100.0)

    assert report == ReportWarmUp(ready_instances=0, elapsed_ms=90_000, failure="wrong-digest: it differs")


def test_an_instance_given_up_does_not_matter_where_enough_others_are_ready() -> None:
    report = what_to_do(warming(candidate_failure="wrong-digest: it differs"), now_s=100.0)

    assert isinstance(report, ReportWarmUp)
    assert report.failure is None


@pytest.mark.parametrize("phase", ["stepping", "baking"])
def test_a_step_that_is_applied_is_measured(phase: str) -> None:
    assert what_to_do(watched(phase=phase), now_s=100.0) == LookAtView(
        endpoint_id=ENDPOINT,
        question={
            "epoch": "5",
            "candidate": CANDIDATE,
            "baseline": BASELINE,
            "latency_threshold_ms": "250.0",
            "feedback_name": "label",
        },
    )


def test_the_view_is_asked_only_for_what_gates_need() -> None:
    look = what_to_do(watched(gates=(ErrorRateGate(max_increase=0.1, min_requests=1),)), now_s=100.0)

    assert isinstance(look, LookAtView)
    assert set(look.question) == {"epoch", "candidate", "baseline"}


def test_a_gate_on_a_loss_asks_for_it_and_gets_what_callers_reported() -> None:
    gate = LossGate(feedback_name="loss", threshold=4.5, max_increase=0.1, min_labels=1)
    look = what_to_do(watched(gates=(gate,)), now_s=100.0)
    seen = view(arms={CANDIDATE: Arm(scored=50, over=7), BASELINE: Arm(scored=60, over=5)})
    measurement = measurement_of(watched(gates=(gate,)), seen)

    assert isinstance(look, LookAtView)
    assert (look.question["loss_name"], look.question["loss_threshold"]) == ("loss", "4.5")
    assert measurement is not None
    assert measurement.counts == (
        GateCounts(gate="loss", candidate=Counts(trials=50, bad=7), baseline=Counts(trials=60, bad=5)),
    )


def test_nothing_is_measured_before_the_gateways_serve_the_step_nor_while_paused() -> None:
    assert what_to_do(watched(applied_at=None), now_s=100.0) is None
    assert what_to_do(watched(phase="paused"), now_s=100.0) is None


def test_each_gate_gets_the_counts_that_it_judges() -> None:
    measurement = measurement_of(watched(), view())

    assert measurement is not None
    assert measurement.counts == (
        GateCounts(gate="error_rate", candidate=Counts(trials=500, bad=1), baseline=Counts(trials=9_500, bad=3)),
        GateCounts(gate="latency", candidate=Counts(trials=500, bad=2), baseline=Counts(trials=9_500, bad=9)),
        GateCounts(gate="quality", candidate=Counts(trials=450, bad=30), baseline=Counts(trials=9_000, bad=1_700)),
    )


def test_the_elapsed_time_is_that_of_the_data() -> None:
    measurement = measurement_of(watched(), view())

    assert measurement is not None
    assert (measurement.elapsed_ms, measurement.watermark_ms) == (10_000, AT_MS - 50_000)


def test_a_late_view_stands_still_so_its_lag_counts_as_time() -> None:
    measurement = measurement_of(watched(), view(freshness="late", lag_ms=30_000))

    assert measurement is not None
    assert (measurement.freshness, measurement.elapsed_ms) == ("late", 40_000)


@pytest.mark.parametrize("changes", [{"watermark_ms": None, "freshness": "no_data"}, {"watermark_ms": AT_MS - 60_001}])
def test_a_view_that_does_not_reach_the_step_says_nothing(changes: dict[str, object]) -> None:
    assert measurement_of(watched(), view(**changes)) is None


def test_where_no_view_comes_the_time_is_that_of_the_judge() -> None:
    unseen = nothing_seen(watched(), now_s=102.5)

    assert unseen is not None
    assert (unseen.freshness, unseen.elapsed_ms, unseen.counts) == ("late", 62_500, ())


def test_the_time_does_not_run_before_the_gateways_serve_the_step() -> None:
    assert nothing_seen(watched(applied_at=None), now_s=102.5) is None


def test_an_arm_that_the_view_does_not_know_counts_nothing() -> None:
    measurement = measurement_of(watched(), view(arms={}))

    assert measurement is not None
    assert {each.candidate.trials for each in measurement.counts} == {0}


def test_only_a_higher_watermark_is_news_and_for_a_late_view_each_second() -> None:
    def sent(**changes: object) -> object:
        measurement = measurement_of(watched(), view(**changes))
        assert measurement is not None
        return sent_of(measurement)

    assert sent() == sent(lag_ms=9_000)
    assert sent() != sent(watermark_ms=AT_MS - 49_999)
    assert sent(freshness="late", lag_ms=1_100) == sent(freshness="late", lag_ms=1_900)
    assert sent(freshness="late", lag_ms=1_100) != sent(freshness="late", lag_ms=2_100)
