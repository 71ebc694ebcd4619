"""What a monitor concludes from looks, and what people may do with it."""

from math import log
from typing import Any

import pytest

from control_plane.monitors.aggregate import (
    WatchedEndpoint,
    acknowledge,
    create,
    fix_reference,
    judge,
    log_threshold,
)
from control_plane.monitors.commands import (
    AcknowledgeDrift,
    CreateMonitor,
    FixReference,
    ReferenceTraffic,
)
from control_plane.monitors.errors import (
    InvalidMonitorError,
    LookDiffersError,
    MonitorPhaseError,
)
from control_plane.monitors.resources import MONITORS
from schemas.documents.monitors import Monitor
from schemas.events.monitors import (
    Bounds,
    DriftAcknowledged,
    DriftJudged,
    Finding,
    Look,
    MonitorCreated,
    MonitorPaused,
    MonitorTerms,
    ReferenceFixed,
    ReferenceStretch,
    ReferenceUnusable,
)
from tests.support.spec import BEGAN_MS, Given
from workers.drift_watch.evidence import threshold_of

HOUR_MS = 3_600_000
NOW_MS = BEGAN_MS // HOUR_MS * HOUR_MS
LATER_MS = NOW_MS + 100 * HOUR_MS
TERMS = MonitorTerms(
    detector="input_drift",
    features=(),
    window_ms=HOUR_MS,
    false_alarm_budget=0.1,
    late_after_ms=HOUR_MS + 300_000,
    settling_windows=24,
    bounds=Bounds(),
)
STRETCH = ReferenceStretch(deployment_ids=("deployment-1",), from_ms=NOW_MS - 48 * HOUR_MS, until_ms=NOW_MS)
CREATED = MonitorCreated(
    name="amounts",
    endpoint_id="endpoint-1",
    endpoint_name="fraud",
    terms=TERMS,
    reference=STRETCH,
    since_ms=NOW_MS,
    left_out=(),
)
FIXED = ReferenceFixed(digest="sha256:" + "a" * 64, windows=48, rows=9_600, features=("input.amount",))
ENOUGH = log(720 / 0.08)


def finding(feature: str = "input.amount", **changes: Any) -> Finding:  # noqa: ANN401
    known: dict[str, Any] = {
        "feature": feature,
        "kind": "location",
        "category": "",
        "direction": "up",
        "began_at_ms": NOW_MS,
        "effect": 0.13,
        "lower": 0.11,
        "upper": 0.15,
        "reference": 0.5,
        "allowed": 0.02,
        "rows": 400,
        "reference_rows": 9_600,
        "log_evidence": 14.2,
    }
    return Finding(**known | changes)


def look(hours: int = 2, *, log_evidence: float = 0.0, findings: tuple[Finding, ...] = (), **changes: Any) -> Look:  # noqa: ANN401
    known: dict[str, Any] = {
        "begun_at_version": 1,
        "since_ms": NOW_MS,
        "until_ms": NOW_MS + hours * HOUR_MS,
        "windows": hours,
        "rows": 200 * hours,
        "lacking": None,
        "lacking_reason": "",
        "reference_digest": FIXED.digest,
        "windows_digest": "sha256:" + "b" * 64,
        "method": "1",
    }
    return Look(**known | changes, log_evidence=log_evidence, findings=findings)


DRIFTED = look(log_evidence=ENOUGH, findings=(finding(),))


def watching() -> Given[Monitor | None]:
    return Given(MONITORS, CREATED, FIXED, stream="monitor-1")


def drifted() -> Given[Monitor | None]:
    return watching().happens(*judged(watching(), DRIFTED))


def known(state: Monitor | None) -> Monitor:
    assert state is not None
    return state


def judged(past: Given[Monitor | None], seen: Look) -> list[Any]:
    return past.when(lambda state: judge(known(state), seen, now_ms=LATER_MS)).then_events()


def creation(**changes: Any) -> CreateMonitor:  # noqa: ANN401
    reference = ReferenceTraffic(from_ms=STRETCH.from_ms, until_ms=STRETCH.until_ms)
    known: dict[str, Any] = {"name": "amounts", "endpoint": "fraud", "reference": reference}
    return CreateMonitor(**known | changes)


def created(command: CreateMonitor) -> list[Any]:
    watched = WatchedEndpoint(id="endpoint-1", name="fraud", shadows=())
    return create(command, watched, deployment_ids=("deployment-1",), now_ms=NOW_MS)


def test_a_monitor_is_created_with_the_usual_terms() -> None:
    assert created(creation()) == [CREATED]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"window_s": 70}, "window_s"),
        ({"window_s": 25_200}, "window_s"),
        ({"false_alarm_budget": 1e-9}, "false_alarm_budget"),
        ({"features": ("input.amount", "input.amount")}, "features"),
        ({"bounds": Bounds(location=1.0)}, "bounds.location"),
        ({"bounds": Bounds(new=-0.1)}, "bounds.new"),
        ({"bounds": Bounds(missing=float("nan"))}, "bounds.missing"),
        ({"reference": ReferenceTraffic(from_ms=NOW_MS, until_ms=NOW_MS + 1)}, "reference.until_ms"),
        ({"reference": ReferenceTraffic(from_ms=NOW_MS, until_ms=NOW_MS)}, "reference.from_ms"),
        # An hour, but of two windows.
        ({"reference": ReferenceTraffic(from_ms=NOW_MS - 5_400_000, until_ms=NOW_MS - 1_800_000)}, "reference.from_ms"),
        ({"reference": ReferenceTraffic(from_ms=NOW_MS, until_ms=NOW_MS - HOUR_MS)}, "reference.from_ms"),
        ({"reference": ReferenceTraffic(from_ms=NOW_MS - 900 * HOUR_MS, until_ms=NOW_MS)}, "reference.from_ms"),
    ],
)
def test_terms_that_promise_nothing_are_refused(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidMonitorError) as caught:
        created(creation(**changes))

    assert caught.value.field == field
    assert caught.value.remedy


def test_the_threshold_spends_four_fifths_of_the_budget_on_the_windows_of_thirty_days() -> None:
    assert log_threshold(TERMS) == pytest.approx(log(720 / 0.08))
    # The measuring side names what has drifted by the same threshold.
    assert log_threshold(TERMS) == pytest.approx(log(threshold_of(budget=0.1, horizon_windows=720)))


def test_it_learns_until_its_reference_is_fixed_once_and_for_all() -> None:
    past = Given(MONITORS, CREATED, stream="monitor-1")
    command = FixReference(digest="sha256:" + "a" * 64, windows=48, rows=9_600, features=("input.amount",))
    assert known(past.state).phase == "learning"

    past.when(lambda state: fix_reference(known(state), command)).then(FIXED)
    past.happens(FIXED)

    assert (known(past.state).phase, known(past.state).reference) == ("watching", FIXED)
    past.when(lambda state: fix_reference(known(state), command)).then_nothing()
    other = FixReference(digest="sha256:" + "c" * 64, windows=48, rows=9_600)
    past.when(lambda state: fix_reference(known(state), other)).then_refused(
        LookDiffersError, "another reference", field="digest"
    )


def test_a_stretch_with_too_little_is_told_once_and_may_still_become_a_reference() -> None:
    past = Given(MONITORS, CREATED, stream="monitor-1")
    command = FixReference(digest=None, windows=1, rows=20, unusable_because="20 rows are too few")

    past.when(lambda state: fix_reference(known(state), command)).then(ReferenceUnusable(reason="20 rows are too few"))
    past.happens(ReferenceUnusable(reason="20 rows are too few"))

    assert (known(past.state).phase, known(past.state).outcome) == ("learning", "too_little_data")
    past.when(lambda state: fix_reference(known(state), command)).then_nothing()
    assert known(past.happens(FIXED).state).outcome is None


def test_the_first_look_without_a_change_is_told_and_the_next_ones_write_nothing() -> None:
    past = watching()

    (first,) = judged(past, look())
    past.happens(first)

    assert first == DriftJudged(
        outcome="no_drift",
        reason="No change beyond the bounds in 2 windows with 400 values.",
        look=look(),
        log_threshold=log_threshold(TERMS),
    )
    assert judged(past, look(3)) == []


def test_evidence_that_reaches_the_threshold_is_a_drift() -> None:
    findings = (finding(),)

    assert judged(watching(), look(log_evidence=ENOUGH - 0.001, findings=findings))[0].outcome == "no_drift"
    (found,) = judged(watching(), look(log_evidence=ENOUGH, findings=findings))

    assert found.outcome == "drift"
    assert found.reason == (
        "input.amount is higher than in the reference: a value of now exceeds one of then in 63.0 % of pairs "
        "(99 % interval 61.0 to 65.0 %, allowed up to 52.0 %)."
    )


def test_a_drift_stays_until_it_is_acknowledged() -> None:
    past = drifted()

    assert judged(past, look(3)) == []
    assert judged(past, look(3, lacking="late", lacking_reason="a window is missing")) == []
    assert judged(past, look(3, log_evidence=20.0, findings=(finding(),))) == []

    past.when(lambda state: acknowledge(known(state), AcknowledgeDrift(reason="new prices"), now_ms=NOW_MS + 1)).then(
        DriftAcknowledged(since_ms=NOW_MS + HOUR_MS, reason="new prices")
    )
    past.happens(DriftAcknowledged(since_ms=NOW_MS + HOUR_MS, reason="new prices"))

    assert (known(past.state).outcome, known(past.state).findings) == (None, ())
    past.when(lambda state: judge(known(state), DRIFTED, now_ms=LATER_MS)).then_refused(
        LookDiffersError, "the evidence begins at", field="since_ms"
    )


def test_another_feature_that_drifts_is_told_too() -> None:
    both = (finding(), finding("input.age", kind="missing", effect=0.04, lower=0.03, upper=0.05, reference=0.0))

    (found,) = judged(drifted(), look(3, log_evidence=30.0, findings=both))

    assert found.reason.endswith("; 1 more feature has changed.")


@pytest.mark.parametrize("lacking", ["late", "no_data", "too_little_data"])
def test_what_is_lacking_is_the_answer_and_its_reason(lacking: str) -> None:
    past = watching()

    (told,) = judged(past, look(lacking=lacking, lacking_reason="The last window is missing."))

    assert (told.outcome, told.reason) == (lacking, "The last window is missing.")
    assert judged(past.happens(told), look(3))[0].outcome == "no_drift"


def test_a_look_that_comes_late_changes_nothing() -> None:
    past = watching()
    past.happens(*judged(past, look(5)))

    assert judged(past, look(3, log_evidence=20.0, findings=(finding(),))) == []


@pytest.mark.parametrize(
    ("seen", "field"),
    [
        (look(reference_digest="sha256:" + "c" * 64), "reference_digest"),
        (look(since_ms=NOW_MS - HOUR_MS), "since_ms"),
        (look(begun_at_version=2), "since_ms"),
        (look(until_ms=NOW_MS + 1), "until_ms"),
        (look(until_ms=NOW_MS - HOUR_MS), "until_ms"),
        (look(101), "until_ms"),
        (look(log_evidence=float("nan")), "log_evidence"),
        (look(log_evidence=9.0, findings=(finding(effect=float("inf")),)), "log_evidence"),
    ],
)
def test_a_look_at_something_else_is_refused(seen: Look, field: str) -> None:
    watching().when(lambda state: judge(known(state), seen, now_ms=LATER_MS)).then_refused(
        LookDiffersError, field=field
    )


def test_a_monitor_that_learns_or_is_paused_is_not_judged() -> None:
    Given(MONITORS, CREATED).when(lambda state: judge(known(state), look(), now_ms=LATER_MS)).then_refused(
        MonitorPhaseError, "is learning"
    )
    watching().happens(MonitorPaused(reason="holidays")).when(
        lambda state: judge(known(state), look(), now_ms=LATER_MS)
    ).then_refused(MonitorPhaseError, "is paused")
