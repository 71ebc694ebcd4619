"""Means, variances and dependence of scores, fitted to the windows of a reference. Columns are scores, alone each."""

from collections.abc import Sequence

import msgspec
import numpy as np

from schemas.events.monitors import Bounds
from workers.drift_watch.dependence import Dependence, fit_dependence
from workers.drift_watch.evidence import Limits, limits_of, quantile_for_reference
from workers.drift_watch.scores import Flags, Floats, Score
from workers.drift_watch.seasons import Profile, fit_profile, no_profile

MIN_WINDOWS = 24
MIN_EVENTS = 20.0
"""Below so many events, and as many of the opposite, the dependence of an indicator is not fitted but borrowed."""
MAX_GRID = 100_000


class Moments(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """What was fitted. Arrays have the shape (scores,).

    `variances` are those of one row. `rows` counts the reference's rows,
    `independent` how many independent ones would say as much about the means. `dependence` is None where the
    reference has too few windows; rows then count as independent, as those of a file do.
    """

    means: Floats
    variances: Floats
    is_share: Flags
    rows: Floats
    independent: Floats
    profile: Profile
    dependence: Dependence | None = None

    @property
    def errors(self) -> Floats:
        """Return the standard errors of the means."""
        return np.sqrt(self.variances / np.maximum(self.independent, 1.0))

    def means_at(self, started_at_ms: int) -> Floats:
        """Return the means that windows have at that time."""
        return np.clip(self.means + self.profile.at(started_at_ms), 0.0, 1.0)

    def limits_at(self, started_at_ms: int, allowed: Floats, *, budget: float, limits: int) -> Limits:
        """Return the means that are allowed at that time, when so many limits share the budget."""
        return limits_of(
            self.means_at(started_at_ms),
            allowed,
            error=self.errors,
            rows=self.independent,
            is_share=self.is_share,
            z=quantile_for_reference(budget=budget, limits=limits),
        )


class Windows(msgspec.Struct, frozen=True, eq=False):
    """Windows of scores: starts, in order, and means and rows, both of shape (windows, scores); a lost one has none."""

    started_at_ms: Sequence[int]
    means: Floats
    rows: Floats


def allowed_of(scores: Sequence[Score], bounds: Bounds) -> Floats:
    """Return how much the mean of each score may change."""
    return np.array([getattr(bounds, each.kind) for each in scores], dtype=np.float64)


def fit_moments(windows: Windows, scores: Sequence[Score], variances: Floats, *, window_ms: int) -> Moments:
    """Fit to windows, or to a single one that holds all rows of a file.

    `variances` has those of one row, of locations and spreads; those of shares follow from their means.
    """
    starts, means, rows = windows.started_at_ms, windows.means, windows.rows
    total = rows.sum(axis=0)
    has_windows = len(starts) >= MIN_WINDOWS
    profile = no_profile(len(scores))
    if has_windows:
        profile = fit_profile(starts, means, rows > 0, window_ms=window_ms)
    by_time = np.stack([profile.at(start) for start in starts])
    average = np.clip((rows * (means - by_time)).sum(axis=0) / np.maximum(total, 1.0), 0.0, 1.0)
    is_share = np.array([each.is_share for each in scores], dtype=np.bool_)
    moments = Moments(
        means=average,
        variances=np.where(is_share, average * (1 - average), variances),
        is_share=is_share,
        rows=total,
        independent=total,
        profile=profile,
    )
    return _with_dependence(moments, windows, scores, window_ms=window_ms) if has_windows else moments


def _with_dependence(moments: Moments, windows: Windows, scores: Sequence[Score], *, window_ms: int) -> Moments:
    by_time = np.stack([moments.profile.at(start) for start in windows.started_at_ms])
    deviations = windows.means - by_time - moments.means
    dependence = fit_around(moments, Windows(windows.started_at_ms, deviations, windows.rows), scores, window_ms)
    cost = sum(each * dependence.rows_per_independent(each) for each in windows.rows)
    independent = moments.rows**2 / np.maximum(cost, 1.0)
    return msgspec.structs.replace(moments, dependence=dependence, independent=independent)


def fit_around_own_mean(moments: Moments, windows: Windows, scores: Sequence[Score], window_ms: int) -> Dependence:
    """Return the dependence that traffic shows around its own mean, so that a change of it does not count."""
    by_time = np.stack([moments.profile.at(start) for start in windows.started_at_ms])
    deviations = windows.means - by_time - moments.means
    own = (windows.rows * deviations).sum(axis=0) / np.maximum(windows.rows.sum(axis=0), 1.0)
    return fit_around(
        msgspec.structs.replace(moments, means=moments.means + own),
        Windows(windows.started_at_ms, np.where(windows.rows > 0, deviations - own, 0.0), windows.rows),
        scores,
        window_ms,
    )


def fit_around(moments: Moments, windows: Windows, scores: Sequence[Score], window_ms: int) -> Dependence:
    """Return the dependence that deviations of windows from the means show.

    An indicator with few events cannot show its own. It gets the strongest that another score of its feature shows.
    """
    places = [round((start - windows.started_at_ms[0]) / window_ms) for start in windows.started_at_ms]
    deviations, rows = _spread_out(windows.means, places), _spread_out(windows.rows, places)
    fit = fit_dependence(deviations, rows, moments.variances, moments.profile.spent)
    events = windows.rows.sum(axis=0) * np.minimum(moments.means, 1 - moments.means)
    is_rare = (moments.is_share & (events < MIN_EVENTS)) | (moments.variances <= 0)
    return _with_borrowed(fit, is_rare, scores)


def _with_borrowed(fit: Dependence, is_rare: Flags, scores: Sequence[Score]) -> Dependence:
    tau, omega, long_run = fit.tau.copy(), fit.omega.copy(), fit.long_run.copy()
    for members in _members(scores):
        shown = [at for at in members if not is_rare[at]]
        for at in (at for at in members if is_rare[at] and shown):
            tau[:, at], omega[:, at] = fit.tau[:, shown].max(axis=1), fit.omega[:, shown].max(axis=1)
            long_run[at] = fit.long_run[shown].max()
    return Dependence(tau, omega, long_run)


def _members(scores: Sequence[Score]) -> list[list[int]]:
    by_feature: dict[str, list[int]] = {}
    for at, score in enumerate(scores):
        by_feature.setdefault(score.feature, []).append(at)
    return list(by_feature.values())


def _spread_out(values: Floats, places: Sequence[int]) -> Floats:
    """Put windows where they belong in time, with zeros for lost ones, so that lags are lags of time."""
    if places[-1] + 1 == len(places):
        return values
    kept = [(at, place) for at, place in enumerate(places) if place < MAX_GRID]
    out = np.zeros((kept[-1][1] + 1, values.shape[1]))
    out[[place for _, place in kept]] = values[[at for at, _ in kept]]
    return out
