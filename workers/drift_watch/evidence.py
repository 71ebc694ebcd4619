"""Evidence that a mean has changed by more than a bound, kept so that the rate of false alarms is known.

For each score, direction and size of a bet, R_w = (1 + R_{w-1})·L_w: the Shiryaev-Roberts e-detector of Shin, Ramdas
and Rinaldo (2022, "E-detectors: a nonparametric framework for sequential change detection", arXiv 2203.03532). L_w bets
that the mean of the window, x, is beyond the bound b, as much as is safe if all that is known is its variance, v:

    L = (1 + y + y²/2) / (1 + lambda²·v/2),    y = max(lambda·(x - b), -1).

E[L] ≤ 1 for every distribution with mean b and variance at most v: the parabola is lowest at -1, so the maximum only
lowers it, and E[1 + lambda·(x - b) + lambda²·(x - b)²/2] is the denominator. L grows with x, so E[L] ≤ 1 wherever the
mean keeps the bound: the null is composite. The parabola is that of Catoni's influence function (2012, "Challenging the
empirical mean and empirical variance"; Wang and Ramdas 2023, "Catoni-style confidence sequences for heavy-tailed mean
estimation", arXiv 2202.01250), there with exp(lambda²·v/2) below, which is larger. Nothing is assumed about the shape
of the distribution, so ties, rare events and heavy tails are covered. In return a single window never shows much: 4
nats where it is ten standard deviations off. Small bets grow as the likelihood ratio of normal means does.

The monitor's statistic M_w is the mean of all R with weights that add up to 1. Then E[M_w] ≤ w, whatever the dependence
between scores and features; M_w - w is a supermartingale, and by Doob's inequality M reaches A within T windows with
probability at most T/A. Without an end, at least A windows pass on average before a false alarm.

What is exact: this, for independent windows with known bounds on means and variances. Where windows resemble those
before, v is their long-run variance. For normal means with autocorrelations ≥ 0 and the likelihood ratio, to which L is
close for small bets, E[M_w] ≤ w would still hold at each window, as the variance of a sum of windows is at most its
long-run bound. The step from there to all windows together, and to variances that are estimated, is an approximation,
which `python -m benchmarks drift_false_alarms` tests. What is not controlled: dependence over longer times than the
reference shows, and a reference that was not representative.
"""

from math import log
from typing import TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from schemas.events.monitors import SHARE_FOR_REFERENCE
from workers.drift_watch.scores import Flags, Floats

EFFECTS = (0.0025, 0.006, 0.015, 0.04, 0.1)
"""Changes beyond the bound that bets are made for: lambda = effect/v is best for it, as long as it is small."""
MAX_BET = 2.0
"""The largest lambda in units of 1/standard deviation; larger ones hardly win more, however large the change."""
DIRECTIONS = ("up", "down")
MAX_EVIDENCE = 1e200
_MIN_VARIANCE = 1e-9
_TINY = 1e-300

Evidence: TypeAlias = npt.NDArray[np.float64]
"""R, or L, of shape (..., scores, directions, effects)."""


class Limits(msgspec.Struct, frozen=True, eq=False):
    """The lowest and highest mean that the null hypothesis allows each score, both of shape (..., scores)."""

    lower: Floats
    upper: Floats


class Nulls(msgspec.Struct, frozen=True, eq=False):
    """For each direction the bound, the variance of one row there, and whether a mean beyond is possible.

    All have the shape (..., scores, directions).
    """

    bounds: Floats
    variances: Floats
    is_possible: Flags

    def bets(self, independent: Floats) -> "Bets":
        """Return the bets on windows of so many independent rows, (..., scores); nothing is at stake without rows."""
        variances = self.variances / np.maximum(independent, _TINY)[..., None]
        size = np.minimum(np.array(EFFECTS) / variances[..., None], MAX_BET / np.sqrt(variances)[..., None])
        is_used = self.is_possible & (independent > 0)[..., None]
        size = np.where(is_used[..., None], size, 0.0)
        signed = size * _SIGNS[:, None]
        return Bets(signed, signed * self.bounds[..., None], 1 / (1 + size * size * variances[..., None] / 2))


class Bets(msgspec.Struct, frozen=True, eq=False):
    """y is slope·mean - offset, and L is scale·(1 + y + y²/2); all of shape (..., scores, directions, effects)."""

    slope: Floats
    offset: Floats
    scale: Floats

    def ratios(self, means: Floats) -> Evidence:
        """Return L of windows with these means, shape (..., scores)."""
        y = np.maximum(self.slope * means[..., None, None] - self.offset, -1.0)
        return self.scale * (1 + y * (1 + y / 2))


_SIGNS = np.array([1.0, -1.0])


def limits_of(means: Floats, allowed: Floats, *, error: Floats, rows: Floats, is_share: Flags, z: float) -> Limits:
    """Return the means of the reference, widened by their uncertainty and by the change that is allowed.

    The margin of a location or spread is z times its standard error, `error`. That of a share is of Wilson (1927,
    "Probable inference, the law of succession, and statistical inference"), among `rows` independent rows, and not 0
    for what was never seen. All are of shape (..., scores).
    """
    known = np.maximum(rows, 1.0)
    lower = np.where(is_share, 1 - _highest_share(1 - means, known, z), means - z * error)
    upper = np.where(is_share, _highest_share(means, known, z), means + z * error)
    return Limits(lower - allowed, upper + allowed)


def nulls_of(limits: Limits, variances: Floats, is_share: Flags) -> Nulls:
    """Return the null hypotheses. `variances` is that of one row of a location or spread; shares have their own.

    The variance of a share is the largest that a share within the bound can have.
    """
    bounds = np.stack([limits.upper, limits.lower], axis=-1)
    extremes = np.stack([np.minimum(limits.upper, 0.5), np.maximum(limits.lower, 0.5)], axis=-1)
    of_share = np.clip(extremes * (1 - extremes), 0.0, 0.25)
    at_bound = np.where(is_share[..., None], of_share, variances[..., None])
    is_possible = (bounds > 0) & (bounds < 1) & (at_bound > _MIN_VARIANCE)
    return Nulls(bounds, np.where(is_possible, at_bound, 1.0), is_possible)


def grown(evidence: Evidence, ratios: Evidence) -> Evidence:
    """Return (1 + R)·L, bounded so that it stays a number however long a change lasts."""
    return np.minimum((1 + evidence) * ratios, MAX_EVIDENCE)


def threshold_of(*, budget: float, horizon_windows: int) -> float:
    """Return A, with T/A the part of the budget that is not kept for the reference."""
    return horizon_windows / (budget * (1 - SHARE_FOR_REFERENCE))


def quantile_for_reference(*, budget: float, limits: int) -> float:
    """Return z so that any of so many limits is wrong with at most the reference's part of the budget (Bonferroni)."""
    return float(-ndtri(budget * SHARE_FOR_REFERENCE / max(limits, 1)))


def weighted(evidence: Evidence, weights: Floats) -> Floats:
    """Return each score's part of M: its R, summed over directions and averaged over effects, times its weight."""
    parts: Floats = weights * evidence.sum(axis=(-2, -1)) / len(EFFECTS)
    return parts


def log_evidence(evidence: float) -> float:
    """Return the natural logarithm, also of nothing."""
    return log(max(evidence, _TINY))


def _highest_share(shares: Floats, rows: Floats, z: float) -> Floats:
    """Return the upper end of the score interval (Wilson 1927)."""
    middle = shares + z * z / (2 * rows)
    reach = z * np.sqrt(shares * (1 - shares) / rows + z * z / (4 * rows * rows))
    highest: Floats = (middle + reach) / (1 + z * z / rows)
    return highest
