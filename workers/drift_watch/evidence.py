"""Evidence that a mean has changed by more than a bound, kept so that the rate of false alarms is known.

For each score, direction and size of the effect beyond the bound, R_w = (1 + R_{w-1})·L_w: the Shiryaev-Roberts
e-detector of Shin, Ramdas and Rinaldo (2022, "E-detectors: a nonparametric framework for sequential change detection",
arXiv 2203.03532). L_w is the likelihood ratio of the window's mean at bound + effect against the bound itself:

- location and spread: normal with variance sigma²/n, where n counts independent rows and sigma² is the variance proxy
  of the score, so that E[L] ≤ 1 for every sum of independent rows, however few (a uniform score is strictly
  sub-Gaussian);
- shares: binomial among n rows. L is a power n/rows ≤ 1 of the ratio of all rows, so E[L] ≤ 1 by Jensen's inequality.

L grows with the mean, hence E[L] ≤ 1 wherever the true mean keeps the bound: the null is composite. The monitor's
statistic M_w is the mean of all R with weights that add up to 1. Then E[M_w] ≤ w, whatever the dependence between
scores and features, M_w - w is a supermartingale, and by Doob's inequality M reaches A within T windows with
probability at most T/A; without an end, A windows pass on average before a false alarm.

What is exact: this, for independent rows and windows with known variance and bounds. Under dependence n is reduced by
the long-run variance. For normal means with autocorrelations ≥ 0, E[M_w] ≤ w still holds at each window, since the
variance of a sum of windows then never exceeds its long-run bound; the step from there to all windows together is an
approximation, which `benchmarks drift_false_alarms` tests by simulation. What is not controlled: dependence of windows
over longer times than the reference shows, and a reference that was not representative.
"""

from math import log
from typing import TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt
from scipy import stats

from workers.drift_watch.scores import Flags, Floats

EFFECTS = (0.005, 0.01, 0.02, 0.04, 0.08, 0.16)
DIRECTIONS = ("up", "down")
SHARE_FOR_REFERENCE = 0.5
"""How much of the budget is for a reference whose means are further off than its margins say."""
_HALVINGS = 50
_MAX_LOG = 1e6

Evidence: TypeAlias = npt.NDArray[np.float64]
"""Logarithms of R, shape (..., scores, directions, effects)."""


class Limits(msgspec.Struct, frozen=True, eq=False):
    """The lowest and highest mean that the null hypothesis allows each score, both of shape (..., scores)."""

    lower: Floats
    upper: Floats


class Ratios(msgspec.Struct, frozen=True, eq=False):
    """Log L per independent row is slope·mean - offset; both of shape (..., scores, directions, effects)."""

    slope: Floats
    offset: Floats

    def of(self, means: Floats, rows: Floats) -> Evidence:
        """Return log L of windows with these means and numbers of independent rows (..., scores); 0 of no rows."""
        ratios = rows[..., None, None] * (self.slope * means[..., None, None] - self.offset)
        return np.clip(ratios, -_MAX_LOG, _MAX_LOG)


def limits_of(means: Floats, allowed: Floats, *, error: Floats, rows: Floats, is_share: Flags, z: float) -> Limits:
    """Return the means of the reference, widened by their uncertainty and by the change that is allowed.

    `error` is a location's or spread's standard error, times z. A share's margin is where the binomial divergence from
    the observed share among `rows` independent rows is z²/2 (Chernoff). All have the shape (..., scores).
    """
    divergence = z * z / (2 * np.maximum(rows, 1e-9))
    lower = np.where(is_share, 1 - _highest_share(1 - means, divergence), means - z * error)
    upper = np.where(is_share, _highest_share(means, divergence), means + z * error)
    return Limits(lower - allowed, upper + allowed)


def ratios_of(limits: Limits, variance: Floats, is_share: Flags) -> Ratios:
    """Return the ratios of all directions and effects; 0 where an alternative is no possible mean.

    `variance` is that of one row of a location or spread; without any, and for shares, it is not used.
    """
    effects = np.array(EFFECTS)
    null = np.stack([limits.upper, 1 - limits.lower], axis=-1)[..., None]
    other = null + effects
    sign = np.array([1.0, -1.0])[:, None]
    is_possible = (null > 0) & (other < 1)
    null, other = np.where(is_possible, null, 0.5), np.where(is_possible, other, 0.6)
    # A falling mean is a rising one of 1 - score.
    hit, miss = np.log(other / null), np.log((1 - other) / (1 - null))
    of_share = sign * (hit - miss), -np.where(sign > 0, miss, hit)
    known = np.where(variance > 0, variance, 1.0)[..., None, None]
    middle = np.where(sign > 0, null + effects / 2, 1 - null - effects / 2)
    of_rank = sign * effects / known, sign * effects * middle / known
    is_used = is_possible & (is_share | (variance > 0))[..., None, None]
    slope, offset = (
        np.where(is_used, np.where(is_share[..., None, None], share, rank), 0.0)
        for share, rank in zip(of_share, of_rank, strict=True)
    )
    return Ratios(slope, offset)


def variance_proxy(values: Floats, weights: Floats) -> float:
    """Return the variance of values with weights, or more: the proxy with which a normal's moments bound theirs.

    That is the largest 2·log E[exp(t·(value - mean))]/t² over the t that `ratios_of` uses. It is 0 for a constant.
    """
    centred = values - float(weights @ values)
    variance = float(weights @ centred**2)
    if variance <= _MIN_VARIANCE:
        return 0.0
    rates = np.array([sign * effect / variance for effect in EFFECTS for sign in (1, -1)])
    exponents = rates[:, None] * centred
    highest = exponents.max(axis=1)
    moments = highest + np.log(np.exp(exponents - highest[:, None]) @ weights)
    return max(variance, float(np.max(2 * moments / rates**2)))


def grown(evidence: Evidence, ratios: Evidence) -> Evidence:
    """Return log((1 + R)·L)."""
    return np.maximum(evidence, 0.0) + np.log1p(np.exp(-np.abs(evidence))) + ratios


def log_threshold(*, budget: float, horizon_windows: int) -> float:
    """Return log A, with T/A the part of the budget that is not kept for the reference."""
    return log(horizon_windows / (budget * (1 - SHARE_FOR_REFERENCE)))


def quantile_for_reference(*, budget: float, limits: int) -> float:
    """Return z so that any of so many limits is wrong with at most the reference's part of the budget (Bonferroni)."""
    return float(stats.norm.isf(budget * SHARE_FOR_REFERENCE / max(limits, 1)))


def log_weighted(evidence: Evidence, log_weights: Floats) -> Floats:
    """Return the log of each score's weighted R, summed over directions and averaged over effects, (..., scores)."""
    highest = np.maximum(evidence.max(axis=(-2, -1)), -_MAX_LOG)
    total = np.exp(evidence - highest[..., None, None]).sum(axis=(-2, -1))
    weighted: Floats = log_weights + highest + np.log(total) - log(len(EFFECTS))
    return weighted


def _highest_share(shares: Floats, divergence: Floats) -> Floats:
    """Return the highest p with s·log(s/p) + (1 - s)·log((1 - s)/(1 - p)) ≤ divergence, by bisection."""
    inside, outside = np.array(shares, dtype=np.float64), np.ones_like(shares)
    for _ in range(_HALVINGS):
        middle = (inside + outside) / 2
        is_inside = _divergence(shares, middle) <= divergence
        inside, outside = np.where(is_inside, middle, inside), np.where(is_inside, outside, middle)
    return outside


def _divergence(share: Floats, other: Floats) -> Floats:
    tiny = 1e-300
    hits = share * (np.log(np.maximum(share, tiny)) - np.log(np.maximum(other, tiny)))
    misses = (1 - share) * (np.log(np.maximum(1 - share, tiny)) - np.log(np.maximum(1 - other, tiny)))
    return np.asarray(hits + misses, dtype=np.float64)


_MIN_VARIANCE = 1e-9
