"""The monitor: created, given its reference, looked at, and what its looks come to."""

from math import log

import msgspec
from msgspec.structs import replace

from control_plane.monitors import reasons
from control_plane.monitors.commands import (
    AcknowledgeDrift,
    ChangeMonitor,
    CreateMonitor,
    FixReference,
    LeaveOut,
    PauseMonitor,
    RemoveMonitor,
    ResumeMonitor,
)
from control_plane.monitors.errors import (
    DriftUnacknowledgedError,
    LookDiffersError,
    MonitorPhaseError,
    NothingToAcknowledgeError,
)
from control_plane.monitors.policies import (
    a_look_is_of_the_evidence,
    references_are_stretches_of_the_past,
    terms_can_be_kept,
    the_reference_has_the_features,
)
from control_plane.ports import EventContext
from schemas.documents.monitors import Monitor, MonitorPhase
from schemas.events.monitors import (
    HORIZON_MS,
    SHARE_FOR_REFERENCE,
    DriftAcknowledged,
    DriftJudged,
    EvidenceBegun,
    Look,
    MonitorChanged,
    MonitorCreated,
    MonitorPaused,
    MonitorRemoved,
    MonitorResumed,
    MonitorTerms,
    Outcome,
    ReferenceFixed,
    ReferenceStretch,
    ReferenceUnusable,
)

SAID_AGAIN_MS = 24 * 3_600_000
"""How long an answer stands until a look that says the same is recorded, too."""
_LATE_WINDOWS = 1
_GRACE_MS = 5 * 60_000


class WatchedEndpoint(msgspec.Struct, frozen=True, kw_only=True):
    """What a monitor takes from its endpoint: `shadows` are the deployments that are asked what others answered."""

    id: str
    name: str
    shadows: tuple[str, ...]


def log_threshold(terms: MonitorTerms) -> float:
    """Return the evidence that an alarm needs: log A, with T/A the part of the budget that is for windows.

    The monitor's statistic M has an expectation of at most w after w windows without a change, and M - w is a
    supermartingale, so by Doob's inequality it reaches A within T windows with probability at most T/A.
    """
    return log(HORIZON_MS / terms.window_ms / (terms.false_alarm_budget * (1 - SHARE_FOR_REFERENCE)))


def evolve(state: Monitor | None, event: msgspec.Struct, context: EventContext) -> Monitor | None:
    """Fold one event; it happened, so nothing is refused here. The first one creates the monitor."""
    if isinstance(event, MonitorCreated):
        return _created(event, context)
    if isinstance(event, MonitorRemoved):
        return None
    assert state is not None, "nothing happens to a monitor before it is created or after it is removed"
    return replace(_evolved(state, event, context), stream_version=context.version)


def _created(event: MonitorCreated, context: EventContext) -> Monitor:
    return Monitor(
        id=context.stream,
        workspace=context.workspace,
        created_at=context.at,
        stream_version=context.version,
        name=event.name,
        phase="learning",
        endpoint_id=event.endpoint_id,
        endpoint_name=event.endpoint_name,
        terms=event.terms,
        stretch=event.reference,
        reference=None,
        since_ms=event.since_ms,
        begun_at_version=context.version,
        left_out=event.left_out,
        judged_until_ms=0,
        outcome=None,
        reason="The reference is being read.",
        judged_at=None,
        findings=(),
    )


def _evolved(state: Monitor, event: msgspec.Struct, context: EventContext) -> Monitor:
    match event:
        case ReferenceFixed():
            told = f"The reference has {event.windows:,} windows with {event.rows:,} values; no window was judged yet."
            return replace(state, phase="watching", reference=event, outcome=None, reason=told, judged_at=None)
        case ReferenceUnusable(reason=reason):
            return replace(state, outcome="too_little_data", reason=reason, judged_at=context.at)
        case DriftJudged():
            return _judged(state, event, context.at)
        case MonitorPaused():
            return replace(state, phase="paused")
        case _:
            return _begun_anew(state, event, context.version)


def _judged(state: Monitor, event: DriftJudged, at: str) -> Monitor:
    return replace(
        state,
        outcome=event.outcome,
        reason=event.reason,
        judged_at=at,
        judged_until_ms=event.look.until_ms,
        findings=event.look.findings if event.outcome == "drift" else (),
    )


def _begun_anew(state: Monitor, event: msgspec.Struct, version: int) -> Monitor:
    match event:
        case MonitorChanged(terms=terms):
            return _anew(replace(state, terms=terms), event.since_ms, version, what="the monitor was changed")
        case MonitorResumed(since_ms=since_ms):
            phase: MonitorPhase = "learning" if state.reference is None else "watching"
            resumed = replace(state, phase=phase)
            # A drift that nobody has seen to stays, whoever paused the monitor meanwhile.
            is_drift = state.outcome == "drift"
            return resumed if is_drift else _anew(resumed, since_ms, version, what="the monitor was resumed")
        case DriftAcknowledged(since_ms=since_ms):
            return _anew(state, since_ms, version, what="the drift was acknowledged")
        case EvidenceBegun(since_ms=since_ms, left_out=left_out):
            return _anew(
                replace(state, left_out=left_out), since_ms, version, what="the shadow of the endpoint changed"
            )
        case _:
            return state


def _anew(state: Monitor, since_ms: int, version: int, *, what: str) -> Monitor:
    return replace(
        state,
        since_ms=since_ms,
        begun_at_version=version,
        outcome=None,
        reason=f"No window was judged since {what}.",
        judged_at=None,
        judged_until_ms=0,
        findings=(),
    )


def create(
    command: CreateMonitor, watched: WatchedEndpoint, *, deployment_ids: tuple[str, ...], now_ms: int
) -> list[msgspec.Struct]:
    """Begin a monitor whose terms can be kept. What came since the end of its reference is looked at, too."""
    terms = MonitorTerms(
        detector=command.detector,
        features=command.features,
        window_ms=command.window_s * 1_000,
        false_alarm_budget=command.false_alarm_budget,
        late_after_ms=_late_after_ms(command.window_s * 1_000),
        settling_windows=command.settling_windows,
        bounds=command.bounds,
    )
    terms_can_be_kept(terms)
    until_ms = now_ms if command.reference.until_ms is None else command.reference.until_ms
    stretch = ReferenceStretch(deployment_ids=deployment_ids, from_ms=command.reference.from_ms, until_ms=until_ms)
    references_are_stretches_of_the_past(stretch, terms, now_ms=now_ms)
    created = MonitorCreated(
        name=command.name,
        endpoint_id=watched.id,
        endpoint_name=watched.name,
        terms=terms,
        reference=stretch,
        since_ms=_next_window(terms, until_ms),
        left_out=watched.shadows,
    )
    return [created]


def change(state: Monitor, command: ChangeMonitor, *, now_ms: int) -> list[msgspec.Struct]:
    """Change what is named. Evidence that was gathered under other terms promises nothing, so it begins anew."""
    named = {name: value for name in _CHANGEABLE if (value := getattr(command, name)) is not None}
    terms = replace(state.terms, **named)
    terms_can_be_kept(terms)
    the_reference_has_the_features(state, terms)
    if terms == state.terms:
        return []
    if state.outcome == "drift":
        raise DriftUnacknowledgedError(state.name)
    return [MonitorChanged(terms=terms, since_ms=_next_window(terms, now_ms), reason=command.reason)]


def pause(state: Monitor, command: PauseMonitor) -> list[msgspec.Struct]:
    """Stop the looks; paused twice is paused once."""
    return [] if state.phase == "paused" else [MonitorPaused(reason=command.reason)]


def resume(state: Monitor, command: ResumeMonitor, *, now_ms: int) -> list[msgspec.Struct]:
    """Let the looks go on with what comes from now on: what nobody looked at is no evidence.

    A drift that was found before stays until it is acknowledged.
    """
    if state.phase != "paused":
        return []
    return [MonitorResumed(since_ms=_next_window(state.terms, now_ms), reason=command.reason)]


def remove(_state: Monitor, command: RemoveMonitor) -> list[msgspec.Struct]:
    """Remove the monitor."""
    return [MonitorRemoved(reason=command.reason)]


def acknowledge(state: Monitor, command: AcknowledgeDrift, *, now_ms: int) -> list[msgspec.Struct]:
    """Note that someone has seen to a drift."""
    if state.outcome != "drift":
        raise NothingToAcknowledgeError(state.name)
    return [DriftAcknowledged(since_ms=_next_window(state.terms, now_ms), reason=command.reason)]


def leave_out(state: Monitor, command: LeaveOut, *, now_ms: int) -> list[msgspec.Struct]:
    """Begin the evidence anew where other deployments are shadows. A drift stays as it was found."""
    if state.left_out == command.left_out or state.outcome == "drift":
        return []
    return [EvidenceBegun(since_ms=_next_window(state.terms, now_ms), left_out=command.left_out)]


def fix_reference(state: Monitor, command: FixReference) -> list[msgspec.Struct]:
    """Note which windows are the reference, once and for all, or that they are too few; said again changes nothing."""
    if state.reference is None and state.phase == "paused":
        raise MonitorPhaseError(state.name, state.phase, remedy="resume it first")
    if command.digest is None:
        is_known = state.reference is not None or state.reason == command.unusable_because
        return [] if is_known else [ReferenceUnusable(reason=command.unusable_because)]
    fixed = ReferenceFixed(digest=command.digest, windows=command.windows, rows=command.rows, features=command.features)
    if state.reference is None:
        return [fixed]
    if state.reference.digest != fixed.digest:
        raise LookDiffersError("the monitor has another reference", field="digest")
    return []


def judge(state: Monitor, look: Look, *, now_ms: int) -> list[msgspec.Struct]:
    """Conclude from a look. A drift stays until it is acknowledged; a look that changes no answer writes nothing.

    Only once a day the same answer is recorded again.
    """
    a_look_is_of_the_evidence(state, look, now_ms=now_ms)
    outcome = _outcome(state, look)
    is_same = outcome == state.outcome and (outcome != "drift" or _names(look) <= _names(state))
    is_recent = look.until_ms - state.judged_until_ms < SAID_AGAIN_MS
    if (is_same and is_recent) or look.until_ms < state.judged_until_ms:
        return []
    if state.outcome == "drift" and outcome != "drift":
        return []
    return [
        DriftJudged(outcome=outcome, reason=_reason(outcome, look), look=look, log_threshold=log_threshold(state.terms))
    ]


_CHANGEABLE = ("features", "false_alarm_budget", "settling_windows", "bounds")


def _outcome(state: Monitor, look: Look) -> Outcome:
    if look.findings and look.log_evidence >= log_threshold(state.terms):
        return "drift"
    return look.lacking or "no_drift"


def _reason(outcome: Outcome, look: Look) -> str:
    if outcome == "drift":
        return reasons.drifted(look.findings)
    return look.lacking_reason or reasons.no_drift(windows=look.windows, rows=look.rows)


def _names(found: Monitor | Look) -> set[str]:
    return {each.feature for each in found.findings}


def _next_window(terms: MonitorTerms, now_ms: int) -> int:
    return -(-now_ms // terms.window_ms) * terms.window_ms


def _late_after_ms(window_ms: int) -> int:
    return _LATE_WINDOWS * window_ms + _GRACE_MS
