"""What people and shadows change about a monitor."""

from control_plane.monitors.aggregate import (
    WatchedEndpoint,
    acknowledge,
    change,
    create,
    fix_reference,
    judge,
    leave_out,
    pause,
    remove,
    resume,
)
from control_plane.monitors.commands import (
    AcknowledgeDrift,
    ChangeMonitor,
    FixReference,
    LeaveOut,
    PauseMonitor,
    ReferenceTraffic,
    RemoveMonitor,
    ResumeMonitor,
)
from control_plane.monitors.errors import (
    DriftUnacknowledgedError,
    InvalidMonitorError,
    LookDiffersError,
    MonitorPhaseError,
    NothingToAcknowledgeError,
)
from control_plane.monitors.resources import MONITORS
from schemas.events.monitors import (
    Bounds,
    EvidenceBegun,
    MonitorChanged,
    MonitorCreated,
    MonitorPaused,
    MonitorRemoved,
    MonitorResumed,
)
from tests.support.spec import Given
from tests.unit.control_plane.monitors.test_monitor import (
    CREATED,
    HOUR_MS,
    LATER_MS,
    NOW_MS,
    creation,
    drifted,
    judged,
    known,
    look,
    watching,
)


def test_pauses_are_no_evidence() -> None:
    past = watching()
    past.when(lambda state: pause(known(state), PauseMonitor(reason="holidays"))).then(MonitorPaused(reason="holidays"))
    past.when(lambda state: resume(known(state), ResumeMonitor(reason="back"), now_ms=NOW_MS)).then_nothing()

    past.happens(MonitorPaused(reason="holidays"))
    past.when(lambda state: pause(known(state), PauseMonitor(reason="holidays"))).then_nothing()
    (resumed,) = past.when(
        lambda state: resume(known(state), ResumeMonitor(reason="back"), now_ms=NOW_MS + 9 * HOUR_MS)
    ).then_events()

    assert resumed == MonitorResumed(since_ms=NOW_MS + 9 * HOUR_MS, reason="back")
    assert (known(past.happens(resumed).state).phase, known(past.state).since_ms) == ("watching", resumed.since_ms)


def test_a_monitor_paused_before_it_has_a_reference_learns_again() -> None:
    past = Given(MONITORS, CREATED, MonitorPaused(reason="wait"), MonitorResumed(since_ms=NOW_MS, reason="go on"))

    assert known(past.state).phase == "learning"
    Given(MONITORS, CREATED, MonitorPaused(reason="wait")).when(
        lambda state: fix_reference(known(state), FixReference(digest="sha256:" + "a" * 64, windows=1, rows=1))
    ).then_refused(MonitorPhaseError, "is paused")


def test_a_change_begins_the_evidence_anew_under_the_new_terms() -> None:
    past = watching()
    command = ChangeMonitor(reason="fewer pages", false_alarm_budget=0.01, features=("input.amount",))

    (changed,) = past.when(lambda state: change(known(state), command, now_ms=NOW_MS + 1)).then_events()
    past.happens(changed)

    assert isinstance(changed, MonitorChanged)
    assert (changed.terms.false_alarm_budget, changed.terms.features) == (0.01, ("input.amount",))
    assert changed.since_ms == NOW_MS + HOUR_MS
    assert (known(past.state).outcome, known(past.state).terms) == (None, changed.terms)
    assert known(past.state).begun_at_version == 3
    past.when(lambda state: change(known(state), command, now_ms=NOW_MS)).then_nothing()
    past.when(
        lambda state: change(known(state), ChangeMonitor(reason="x", bounds=Bounds(location=2.0)), now_ms=NOW_MS)
    ).then_refused(InvalidMonitorError, field="bounds.location")


def test_what_the_reference_does_not_have_cannot_be_watched() -> None:
    command = ChangeMonitor(reason="another one", features=("input.age",))

    watching().when(lambda state: change(known(state), command, now_ms=NOW_MS)).then_refused(
        InvalidMonitorError, "no input.age", field="features"
    )


def test_a_drift_outlasts_changes_pauses_and_shadows() -> None:
    past = drifted()
    command = ChangeMonitor(reason="fewer pages", false_alarm_budget=0.01)

    past.when(lambda state: change(known(state), command, now_ms=NOW_MS)).then_refused(
        DriftUnacknowledgedError, "has found a drift"
    )
    past.when(lambda state: leave_out(known(state), LeaveOut(left_out=("copy",)), now_ms=NOW_MS)).then_nothing()
    past.happens(MonitorPaused(reason="holidays"), MonitorResumed(since_ms=NOW_MS + 9 * HOUR_MS, reason="back"))

    assert (known(past.state).phase, known(past.state).outcome) == ("watching", "drift")
    assert known(past.state).since_ms == NOW_MS


def test_another_shadow_begins_the_evidence_anew_without_its_copies() -> None:
    past = watching()
    command = LeaveOut(left_out=("copy",))

    (begun,) = past.when(lambda state: leave_out(known(state), command, now_ms=NOW_MS + 1)).then_events()
    past.happens(begun)

    assert begun == EvidenceBegun(since_ms=NOW_MS + HOUR_MS, left_out=("copy",))
    assert (known(past.state).left_out, known(past.state).begun_at_version) == (("copy",), 3)
    past.when(lambda state: leave_out(known(state), command, now_ms=NOW_MS + 2)).then_nothing()


def test_two_beginnings_within_a_window_are_told_apart() -> None:
    past = watching()
    past.happens(EvidenceBegun(since_ms=NOW_MS + HOUR_MS, left_out=("copy",)))
    past.happens(EvidenceBegun(since_ms=NOW_MS + HOUR_MS, left_out=()))
    stale = look(since_ms=NOW_MS + HOUR_MS, begun_at_version=3)

    past.when(lambda state: judge(known(state), stale, now_ms=LATER_MS)).then_refused(
        LookDiffersError, field="since_ms"
    )


def test_an_answer_that_stays_is_recorded_once_a_day() -> None:
    past = watching()
    past.happens(*judged(past, look(2)))

    assert judged(past, look(25)) == []
    (again,) = judged(past, look(26))
    assert (again.outcome, again.look.until_ms) == ("no_drift", NOW_MS + 26 * HOUR_MS)
    assert judged(past.happens(again), look(27)) == []


def test_a_reference_until_now_ends_with_the_window_and_what_follows_is_looked_at() -> None:
    reference = ReferenceTraffic(from_ms=NOW_MS - 48 * HOUR_MS + 1_800_000)

    (begun,) = create(
        creation(reference=reference),
        WatchedEndpoint(id="endpoint-1", name="fraud", shadows=("copy",)),
        deployment_ids=("deployment-1",),
        now_ms=NOW_MS + 1_800_000,
    )

    assert isinstance(begun, MonitorCreated)
    assert begun.reference.until_ms == NOW_MS + 1_800_000
    assert (begun.since_ms, begun.left_out) == (NOW_MS + HOUR_MS, ("copy",))


def test_only_a_drift_is_acknowledged() -> None:
    watching().when(
        lambda state: acknowledge(known(state), AcknowledgeDrift(reason="seen"), now_ms=NOW_MS)
    ).then_refused(NothingToAcknowledgeError, "has found no drift")


def test_a_removed_monitor_is_gone() -> None:
    past = drifted()
    past.when(lambda state: remove(known(state), RemoveMonitor(reason="replaced"))).then(
        MonitorRemoved(reason="replaced")
    )

    assert past.happens(MonitorRemoved(reason="replaced")).state is None
    assert MONITORS.row(past.state) is None
