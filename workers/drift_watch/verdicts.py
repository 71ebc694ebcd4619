"""The answer of a monitor, as a whole and for each feature, with a reason for people."""

from typing import Literal, TypeAlias

import msgspec

from workers.drift_watch.findings import Finding
from workers.drift_watch.sentences import reason_of
from workers.drift_watch.watch import State

Outcome: TypeAlias = Literal["no_drift", "drift", "late", "no_data", "too_little_data"]


class Drifted(msgspec.Struct, frozen=True, kw_only=True):
    """A feature that has changed, and a sentence about it."""

    finding: Finding
    reason: str


class FeatureVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """The answer for one feature."""

    feature: str
    outcome: Outcome
    reason: str


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of a monitor: its features in the order of their names, and those that drifted, strongest first."""

    outcome: Outcome
    reason: str
    alarm_started_at_ms: int | None
    drifted: tuple[Drifted, ...]
    features: tuple[FeatureVerdict, ...]


def verdict_of(state: State, *, now_ms: int, late_after_ms: int) -> Verdict:
    """Judge a state at a time. An alarm outlasts everything but a restart; otherwise, what is lacking comes first.

    `late`: the last window ended more than `late_after_ms` ago. `no_data`: there was no window yet, or the last one
    had no rows. `too_little_data`: the reference or the traffic is not enough yet to judge any feature.
    """
    alarm = state.alarm
    drifted = tuple(Drifted(finding=each, reason=reason_of(each)) for each in alarm.findings) if alarm else ()
    outcome: Outcome
    if drifted:
        outcome, reason = "drift", _reason_of_drift(drifted)
    else:
        outcome, reason = _without_drift(state, now_ms=now_ms, late_after_ms=late_after_ms)
    return Verdict(
        outcome=outcome,
        reason=reason,
        alarm_started_at_ms=alarm.started_at_ms if alarm else None,
        drifted=drifted,
        features=_features(state, {each.finding.feature: each.reason for each in drifted}),
    )


def _reason_of_drift(drifted: tuple[Drifted, ...]) -> str:
    others = len(drifted) - 1
    if not others:
        return drifted[0].reason
    return f"{drifted[0].reason}; {others} more {'feature has' if others == 1 else 'features have'} changed"


def _without_drift(state: State, *, now_ms: int, late_after_ms: int) -> tuple[Outcome, str]:
    if state.last_started_at_ms is None:
        return "no_data", "there has been no window yet"
    behind_ms = now_ms - state.last_started_at_ms - state.reference.settings.window_ms
    if behind_ms > late_after_ms:
        return "late", f"the last window ended {behind_ms // 60_000} minutes ago"
    if not any(state.last_rows.values()):
        return "no_data", "the last window has no rows"
    if not state.reference.scores:
        return "too_little_data", next(iter(state.reference.lacking.values()), "no feature can be watched")
    if state.dependence is None:
        return "too_little_data", _settling(state)
    return "no_drift", f"no change beyond what is allowed in {state.windows} windows"


def _features(state: State, drifted: dict[str, str]) -> tuple[FeatureVerdict, ...]:
    reference = state.reference
    names = {scale.feature for scale in reference.scales} | reference.lacking.keys() | set(state.unknown)
    return tuple(_feature(state, name, drifted.get(name)) for name in sorted(names))


def _feature(state: State, name: str, drift: str | None) -> FeatureVerdict:
    lacking, rows = state.reference.lacking.get(name), state.last_rows.get(name, 0)
    outcome: Outcome
    if drift is not None:
        outcome, reason = "drift", drift
    elif lacking is not None:
        outcome, reason = "too_little_data", lacking
    elif name in state.unknown:
        outcome, reason = "too_little_data", f"the reference does not have {name}"
    elif not rows:
        outcome, reason = "no_data", f"the last window has no rows of {name}"
    elif state.dependence is None:
        outcome, reason = "too_little_data", _settling(state)
    else:
        outcome, reason = "no_drift", f"no change of {name} beyond what is allowed"
    return FeatureVerdict(feature=name, outcome=outcome, reason=reason)


def _settling(state: State) -> str:
    needed = state.reference.settings.settling_windows
    return f"{len(state.waiting)} of the {needed} windows are there that show how much rows depend on each other"
