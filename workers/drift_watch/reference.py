"""What a monitor compares with: the scales of its features, and what was fitted to their windows, once."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TypeAlias

import msgspec
import numpy as np

from workers.drift_watch.errors import ReferenceRefusedError
from workers.drift_watch.evidence import DIRECTIONS, Nulls, nulls_of
from workers.drift_watch.moments import MIN_WINDOWS, Moments, Windows, allowed_of, fit_moments
from workers.drift_watch.scores import Floats, Scale, Score, scale_of
from workers.drift_watch.seasons import hour_of_week
from workers.drift_watch.settings import HOUR_MS, Settings
from workers.drift_watch.windows import FeatureWindow, merged

MIN_ROWS = 100

Features: TypeAlias = Mapping[str, FeatureWindow]
"""One window of each feature; all of them start at the same time."""


class Reference(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """Everything that is fitted once.

    `lacking` says of features that cannot be watched what is missing. `nulls` are the hypotheses of each hour, for as
    many hours as the profile takes to repeat. `weights` has of each score, shape (scores,), the weight of one of its
    directions: features have the same, and so have the scores of a feature.
    """

    settings: Settings
    scales: tuple[Scale, ...]
    scores: tuple[Score, ...]
    lacking: Mapping[str, str]
    moments: Moments
    allowed: Floats
    weights: Floats
    nulls: tuple[Nulls, ...]

    @property
    def directions(self) -> int:
        """Return how many directions count: both, or only that of a rise."""
        return directions_of(self.settings)

    def nulls_at(self, started_at_ms: int) -> Nulls:
        """Return the hypotheses of a window that starts then."""
        return self.nulls[hour_of_week(started_at_ms) % len(self.nulls)]


def fit_reference(windows: Sequence[Features], settings: Settings) -> Reference:
    """Fit windows that follow each other, or one that holds all rows of a file.

    The rows of a file are taken as drawn independently from the time that it stands for. Raises ReferenceRefusedError
    if there are no rows at all, or if windows are not in the order of time. The times of a single window do not matter.
    """
    starts = [min((each.started_at_ms for each in window.values()), default=0) for window in windows]
    if any(later <= earlier for earlier, later in pairwise(starts)):
        raise ReferenceRefusedError("the windows of a reference must follow each other in time")
    names = sorted({feature for window in windows for feature in window})
    whole = {name: merged(window[name] for window in windows if name in window) for name in names}
    if not any(each.rows for each in whole.values()):
        raise ReferenceRefusedError("the reference has no rows")
    lacking = {feature: reason for feature in names if (reason := _lack(feature, whole[feature], windows))}
    scales = tuple(
        scale_of(feature, whole[feature], bad_categories=settings.bad_categories)
        for feature in names
        if feature not in lacking
    )
    scores = tuple(score for scale in scales for score in scale.scores)
    # Without a score there is nothing to fit, whatever there is of windows.
    seen = Windows(starts, *means_of(scales, windows)) if scores else Windows(starts[:1], *means_of((), windows[:1]))
    moments = fit_moments(seen, scores, _variances(scales), window_ms=settings.window_ms)
    allowed = allowed_of(scores, settings.bounds)
    return Reference(
        settings=settings,
        scales=scales,
        scores=scores,
        lacking=lacking,
        moments=moments,
        allowed=allowed,
        weights=weights_of(scores, directions=directions_of(settings)),
        nulls=_nulls(moments, allowed, settings),
    )


def means_of(scales: Sequence[Scale], windows: Sequence[Features]) -> tuple[Floats, Floats]:
    """Return the means of all scores and the rows behind them, both of shape (windows, scores); no rows if lost."""
    scores = sum(len(scale.scores) for scale in scales)
    means, rows = np.zeros((len(windows), scores)), np.zeros((len(windows), scores))
    for at, window in enumerate(windows):
        first = 0
        for scale in scales:
            last = first + len(scale.scores)
            if (feature := window.get(scale.feature)) is not None:
                means[at, first:last], rows[at, first:last] = zip(*scale.means(feature), strict=True)
            first = last
    return means, rows


def directions_of(settings: Settings) -> int:
    """Return how many directions count."""
    return 1 if settings.bad_categories else len(DIRECTIONS)


def weights_of(scores: Sequence[Score], *, directions: int) -> Floats:
    """Return the weight of each score and direction; the weights of all add up to 1."""
    of_feature = Counter(each.feature for each in scores)
    sharing = [of_feature[each.feature] * len(of_feature) * directions for each in scores]
    return 1 / np.array(sharing, dtype=np.float64)


def _nulls(moments: Moments, allowed: Floats, settings: Settings) -> tuple[Nulls, ...]:
    limits = len(moments.means) * directions_of(settings)
    by_hour = (
        moments.limits_at(hour * HOUR_MS, allowed, budget=settings.budget, limits=limits)
        for hour in range(moments.profile.period)
    )
    return tuple(nulls_of(each, moments.variances, moments.is_share) for each in by_hour)


def _variances(scales: Sequence[Scale]) -> Floats:
    """Return the variances of locations and spreads among the rows of the reference, and 0 of shares."""
    values = [each for scale in scales for each in scale.values_of_scores()]
    return np.array([0.0 if each is None else _variance(*each) for each in values], dtype=np.float64)


def _variance(values: Floats, weights: Floats) -> float:
    return float(weights @ (values - weights @ values) ** 2)


def _lack(feature: str, whole: FeatureWindow, windows: Sequence[Features]) -> str:
    """Return what the reference of a feature lacks, or nothing."""
    if whole.rows < MIN_ROWS:
        return f"the reference has {whole.rows} rows of {feature}, and at least {MIN_ROWS} are needed"
    there = sum(1 for window in windows if feature in window and window[feature].rows)
    if len(windows) >= MIN_WINDOWS > there:
        return f"{feature} is in {there} windows of the reference, and at least {MIN_WINDOWS} are needed"
    return ""
