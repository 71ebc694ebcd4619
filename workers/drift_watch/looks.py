"""From summaries to windows, and from the state of a monitor to a look. Pure; the verdict is the aggregate's."""

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TypeAlias

import msgspec

from schemas.documents.monitors import Monitor
from schemas.envelope import rfc3339
from schemas.events.monitors import HORIZON_MS, Detector, Lacking, Look, MonitorTerms
from schemas.feature_summaries import FeatureSummary
from workers.drift_watch.evidence import log_evidence
from workers.drift_watch.reference import Features, fit_reference
from workers.drift_watch.settings import Settings
from workers.drift_watch.watch import State, fold, start
from workers.drift_watch.windows import FeatureWindow, merged

METHOD = "1"
"""Raise it with every change that gives other numbers for the same windows."""

_WATCHED: Mapping[Detector, tuple[str, ...]] = {
    "input_drift": ("input.",),
    "prediction_drift": ("output.", "tokens.out", "finish_reason"),
}
_encoder = msgspec.json.Encoder()
_features = msgspec.json.Decoder(list[dict[str, FeatureWindow]])

Windows: TypeAlias = Mapping[int, Features]
"""The features of each window that has some, by its start in Unix ms."""


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """What the windows of a monitor came to, up to `until_ms`.

    `windows_digest` is a chain: the digest of the one before and of a window's canonical bytes.
    """

    state: State
    begun_at_version: int
    since_ms: int
    until_ms: int
    reference_digest: str
    windows_digest: str
    windows: int = 0
    rows: int = 0
    last_rows: int = 0


def settings_of(terms: MonitorTerms) -> Settings:
    """Return the settings of the calculation."""
    return Settings(
        window_ms=terms.window_ms,
        horizon_windows=HORIZON_MS // terms.window_ms,
        budget=terms.false_alarm_budget,
        settling_windows=terms.settling_windows,
        bounds=terms.bounds,
    )


def windows_of(
    items: Iterable[FeatureSummary],
    terms: MonitorTerms,
    *,
    deployments: Collection[str] = (),
    left_out: Collection[str] = (),
    texts_from_ms: int = 0,
) -> dict[int, Features]:
    """Add the summaries of what a monitor watches, over deployments, to one window of each feature and start.

    With `deployments`, only those count; those in `left_out` never do. Texts that were captured before `texts_from_ms`
    do not count: the view keeps how many they were, but no longer which.
    """
    parts: defaultdict[int, defaultdict[str, list[FeatureWindow]]] = defaultdict(lambda: defaultdict(list))
    for item in items:
        is_meant = (not deployments or item.deployment_id in deployments) and item.deployment_id not in left_out
        is_there = item.kind == "number" or item.start_ms >= texts_from_ms
        if is_meant and is_there and _is_watched(item.feature, terms):
            parts[item.start_ms][item.feature].append(_window(item))
    return {at: {name: merged(parts[at][name]) for name in sorted(parts[at])} for at in sorted(parts)}


def written_reference(windows: Windows) -> bytes:
    """Return the canonical bytes of a reference, which are kept as its artifact."""
    return _encoder.encode([_in_order(windows[at]) for at in sorted(windows)])


def read_reference(content: bytes) -> list[Features]:
    """Read a reference as it was kept.

    Raises:
        msgspec.DecodeError: it is none.
    """
    return list(_features.decode(content))


def begin(monitor: Monitor, reference: Sequence[Features]) -> Progress:
    """Return the progress before any window; the monitor's reference is fixed, and has what it watches."""
    assert monitor.reference is not None, "a monitor that is looked at has a reference"
    watched = [
        {name: each for name, each in window.items() if _is_watched(name, monitor.terms)} for window in reference
    ]
    return Progress(
        state=start(fit_reference([window for window in watched if window], settings_of(monitor.terms))),
        begun_at_version=monitor.begun_at_version,
        since_ms=monitor.since_ms,
        until_ms=monitor.since_ms,
        reference_digest=monitor.reference.digest,
        windows_digest=f"sha256:{hashlib.sha256(b'').hexdigest()}",
    )


def after(progress: Progress, windows: Windows, *, until_ms: int) -> Progress:
    """Take the complete windows that follow, up to `until_ms`."""
    for at in sorted(windows):
        if not progress.until_ms <= at < until_ms:
            continue
        features = windows[at]
        rows = max((each.rows for each in features.values()), default=0)
        state = fold(progress.state, features)
        progress = msgspec.structs.replace(
            progress,
            state=state,
            windows_digest=_chained(progress.windows_digest, features),
            windows=progress.windows + (rows > 0),
            rows=progress.rows + rows,
            last_rows=rows,
            until_ms=at + state.reference.settings.window_ms,
        )
    if progress.until_ms < until_ms:
        # The windows up to here are complete, and the last of them has no rows.
        progress = msgspec.structs.replace(progress, until_ms=until_ms, last_rows=0)
    return progress


def due_until_ms(terms: MonitorTerms, now_ms: int) -> int:
    """Return the end of the last window that should be complete by now."""
    return (now_ms - terms.late_after_ms) // terms.window_ms * terms.window_ms


def complete_until_ms(terms: MonitorTerms, watermark_ms: int | None, now_ms: int) -> int:
    """Return up to when windows are complete. Where nothing was ever captured, nothing is waited for either."""
    if watermark_ms is None:
        return due_until_ms(terms, now_ms)
    return min(watermark_ms + 1, now_ms) // terms.window_ms * terms.window_ms


def look_of(progress: Progress, monitor: Monitor, *, now_ms: int, why_late: str = "") -> Look:
    """Return what is reported; `why_late` says what the view waits for."""
    lacking, reason = _lacking(progress, monitor, now_ms=now_ms, why_late=why_late)
    state = progress.state
    return Look(
        begun_at_version=progress.begun_at_version,
        since_ms=progress.since_ms,
        until_ms=progress.until_ms,
        windows=progress.windows,
        rows=progress.rows,
        log_evidence=round(log_evidence(state.highest), 6),
        findings=state.alarm.findings if state.alarm else (),
        lacking=lacking,
        lacking_reason=reason,
        reference_digest=progress.reference_digest,
        windows_digest=progress.windows_digest,
        method=METHOD,
    )


def _lacking(progress: Progress, monitor: Monitor, *, now_ms: int, why_late: str) -> tuple[Lacking | None, str]:
    state, terms = progress.state, monitor.terms
    if progress.until_ms < due_until_ms(terms, now_ms):
        return "late", f"The windows since {rfc3339(progress.until_ms)} are not complete{why_late}."
    if progress.until_ms == progress.since_ms:
        return "no_data", f"The first window ends at {rfc3339(progress.since_ms + terms.window_ms)}."
    if not progress.last_rows:
        return "no_data", f"Nothing was captured in the window that ended at {rfc3339(progress.until_ms)}."
    if not state.reference.scores:
        why = next(iter(state.reference.lacking.values()), "it has no feature that can be watched")
        return "too_little_data", f"The reference cannot be compared with: {why}."
    if state.dependence is None:
        seen, needed = len(state.waiting), terms.settling_windows
        return "too_little_data", f"How much rows depend on each other shows in {needed} windows; {seen} are there."
    return None, ""


def _is_watched(feature: str, terms: MonitorTerms) -> bool:
    return feature in terms.features if terms.features else feature.startswith(_WATCHED[terms.detector])


def _window(item: FeatureSummary) -> FeatureWindow:
    return FeatureWindow(
        started_at_ms=item.start_ms,
        values=item.values,
        missing=item.missing,
        infinite=item.infinite,
        bins=dict(zip(item.bins, item.counts, strict=True)),
        categories=item.categories,
    )


def _chained(digest: str, features: Features) -> str:
    content = _encoder.encode(_in_order(features))
    return f"sha256:{hashlib.sha256(digest.encode() + content).hexdigest()}"


def _in_order(features: Features) -> dict[str, FeatureWindow]:
    """Return the same with keys in their order, so that it always has the same bytes."""
    return {
        name: msgspec.structs.replace(
            features[name],
            bins=dict(sorted(features[name].bins.items())),
            categories=dict(sorted(features[name].categories.items())),
        )
        for name in sorted(features)
    }
