"""What has changed, in numbers: the features behind an alarm, each with its effect and an interval."""

from collections.abc import Iterator

import numpy as np
from scipy.special import ndtri

from schemas.events.monitors import Finding
from workers.drift_watch.changes import Changes
from workers.drift_watch.evidence import DIRECTIONS, Evidence, log_evidence
from workers.drift_watch.reference import Reference
from workers.drift_watch.scores import Floats

INTERVAL = 0.99
_DIGITS = 6


def findings_of(
    reference: Reference, evidence: Evidence, changes: Changes, parts: Floats, *, threshold: float
) -> tuple[Finding, ...]:
    """Return what changed, strongest first: the strongest feature, and any other that would raise the alarm alone."""
    features: dict[str, list[int]] = {}
    for at, score in enumerate(reference.scores):
        features.setdefault(score.feature, []).append(at)
    strength = {name: float(parts[members].sum()) for name, members in features.items()}
    ordered = sorted(strength, key=lambda name: (-strength[name], name))
    named = [name for name in ordered if strength[name] >= threshold or name == ordered[0]]
    return tuple(_of_features(reference, evidence, changes, [features[name] for name in named]))


def _of_features(
    reference: Reference, evidence: Evidence, changes: Changes, features: list[list[int]]
) -> Iterator[Finding]:
    counted = evidence[:, : reference.directions]
    for members in features:
        strongest = np.unravel_index(np.argmax(counted[members]), counted[members].shape)
        yield _finding(reference, counted, changes, (members[strongest[0]], int(strongest[1]), int(strongest[2])))


def _finding(reference: Reference, evidence: Evidence, changes: Changes, at: tuple[int, int, int]) -> Finding:
    score = reference.scores[at[0]]
    mean, rows = float(reference.moments.means[at[0]]), max(float(changes.rows[at]), 1.0)
    effect = float(changes.sums[at]) / rows
    variance = float(reference.moments.variances[at[0]])
    if score.is_share:
        share = min(max(mean + effect, 1 / (rows + 2)), 1 - 1 / (rows + 2))
        variance = share * (1 - share)
    deviation = np.sqrt(variance * float(changes.cost[at]) / rows**2 + float(reference.moments.errors[at[0]]) ** 2)
    reach = float(-ndtri((1 - INTERVAL) / 2) * deviation)
    return Finding(
        feature=score.feature,
        kind=score.kind,
        category=score.category,
        direction="up" if DIRECTIONS[at[1]] == "up" else "down",
        began_at_ms=int(changes.started_at_ms[at]),
        effect=round(effect, _DIGITS),
        lower=round(max(effect - reach, -mean), _DIGITS),
        upper=round(min(effect + reach, 1 - mean), _DIGITS),
        reference=round(mean, _DIGITS),
        allowed=float(reference.allowed[at[0]]),
        rows=int(changes.rows[at]),
        reference_rows=int(reference.moments.rows[at[0]]),
        log_evidence=round(log_evidence(float(evidence[at[0], at[1]].mean())), 3),
    )
