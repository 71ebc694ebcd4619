"""Folds windows into the state of a monitor. Pure: the same windows give the same state, from scratch or continued."""

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from schemas.events.monitors import Finding
from workers.drift_watch.changes import Changes, Seen, followed, no_changes
from workers.drift_watch.dependence import Dependence
from workers.drift_watch.errors import WindowOrderError
from workers.drift_watch.evidence import DIRECTIONS, EFFECTS, Evidence, grown, threshold_of, weighted
from workers.drift_watch.findings import findings_of
from workers.drift_watch.moments import Windows, fit_around_own_mean
from workers.drift_watch.reference import Features, Reference, means_of
from workers.drift_watch.scores import Floats

MAX_UNKNOWN_FEATURES = 20


class Read(msgspec.Struct, frozen=True, eq=False):
    """A window as the means and rows of its scores, both of shape (scores,)."""

    started_at_ms: int
    means: Floats
    rows: Floats


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """Since when evidence has been sufficient, and what was found when it last was."""

    started_at_ms: int
    findings: tuple[Finding, ...]


class State(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """What a monitor knows after some windows. Arrays of evidence have the shape (scores, directions, effects).

    `waiting` are windows that were seen before the dependence was known. `last_rows` says of each feature how many
    rows the last window had, and `unknown` names features that the reference does not have. `highest` is the most that
    the statistic M has been, which is what the budget bounds.
    """

    reference: Reference
    evidence: Evidence
    changes: Changes
    dependence: Dependence | None
    waiting: tuple[Read, ...] = ()
    windows: int = 0
    last_started_at_ms: int | None = None
    last_rows: Mapping[str, int] = {}
    unknown: tuple[str, ...] = ()
    highest: float = 0.0
    alarm: Alarm | None = None


def start(reference: Reference) -> State:
    """Return the state before any window."""
    shape = (len(reference.scores), len(DIRECTIONS), len(EFFECTS))
    return State(
        reference=reference,
        evidence=np.zeros(shape),
        changes=no_changes(shape),
        dependence=reference.moments.dependence,
    )


def fold(state: State, window: Features) -> State:
    """Continue with the next window. Windows that were lost are left out; they change nothing.

    Raises WindowOrderError if the features' windows do not start together, or if the window does not begin after the
    last one, at a multiple of the length of windows. A window without features has no time and changes nothing.
    """
    if not window:
        return state
    at_ms = _time_of(state, window)
    reference = state.reference
    means, rows = means_of(reference.scales, [window])
    unknown = {*state.unknown, *(set(window) - _names(reference))}
    state = msgspec.structs.replace(
        state,
        windows=state.windows + 1,
        last_started_at_ms=at_ms,
        last_rows={feature: each.rows for feature, each in window.items()},
        unknown=tuple(sorted(unknown)[:MAX_UNKNOWN_FEATURES]),
    )
    read = Read(at_ms, means[0], rows[0])
    return _settled(state, read) if state.dependence is None else _judged(state, read, state.dependence)


def _settled(state: State, read: Read) -> State:
    """Collect windows until they show how much rows depend on each other, then judge all of them."""
    waiting = (*state.waiting, read) if read.rows.any() else state.waiting
    state = msgspec.structs.replace(state, waiting=waiting)
    if len(waiting) < state.reference.settings.settling_windows:
        return state
    dependence = _learnt_from(state.reference, waiting)
    state = msgspec.structs.replace(state, dependence=dependence, waiting=())
    for each in waiting:
        state = _judged(state, each, dependence)
    return state


def _learnt_from(reference: Reference, waiting: Sequence[Read]) -> Dependence:
    windows = Windows(
        [each.started_at_ms for each in waiting],
        np.stack([each.means for each in waiting]),
        np.stack([each.rows for each in waiting]),
    )
    return fit_around_own_mean(reference.moments, windows, reference.scores, reference.settings.window_ms)


def _judged(state: State, read: Read, dependence: Dependence) -> State:
    reference = state.reference
    per_independent = dependence.rows_per_independent(read.rows)
    ratios = reference.nulls_at(read.started_at_ms).bets(read.rows / per_independent).ratios(read.means)
    deviations = read.means - reference.moments.means_at(read.started_at_ms)
    seen = Seen(read.started_at_ms, deviations, read.rows, per_independent)
    state = msgspec.structs.replace(
        state, evidence=grown(state.evidence, ratios), changes=followed(state.changes, np.log(ratios), seen)
    )
    parts = weighted(state.evidence[:, : reference.directions], reference.weights)
    alarm = _alarm(state, parts, read.started_at_ms)
    return msgspec.structs.replace(state, highest=max(state.highest, float(parts.sum())), alarm=alarm)


def _alarm(state: State, parts: Floats, at_ms: int) -> Alarm | None:
    """Raise an alarm when the statistic reaches its threshold. It stays, with the latest findings."""
    settings = state.reference.settings
    threshold = threshold_of(budget=settings.budget, horizon_windows=settings.horizon_windows)
    if parts.sum() < threshold:
        return state.alarm
    found = findings_of(state.reference, state.evidence, state.changes, parts, threshold=threshold)
    return Alarm(started_at_ms=at_ms if state.alarm is None else state.alarm.started_at_ms, findings=found)


def _time_of(state: State, window: Features) -> int:
    starts = {each.started_at_ms for each in window.values()}
    window_ms, last_ms = state.reference.settings.window_ms, state.last_started_at_ms
    if len(starts) > 1:
        raise WindowOrderError(f"the features' windows start at different times, from {min(starts)} to {max(starts)}")
    at_ms = starts.pop()
    if at_ms % window_ms:
        raise WindowOrderError(f"a window starts at {at_ms}, which is not a multiple of {window_ms} ms")
    if last_ms is not None and at_ms <= last_ms:
        raise WindowOrderError(f"the window that starts at {at_ms} does not come after the last, at {last_ms}")
    return at_ms


def _names(reference: Reference) -> set[str]:
    return {scale.feature for scale in reference.scales} | reference.lacking.keys()
