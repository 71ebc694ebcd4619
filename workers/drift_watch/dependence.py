"""How much less the rows of a window say than as many independent ones.

The mean of a score over a window of n rows has the variance tau·sigma²/n + omega²: rows within a window may resemble
each other (the design effect tau, Kish 1965, "Survey Sampling"), and windows may differ beyond their rows (omega²).
Both are fitted by the method of moments: E[(mean - mu)²·n/sigma²] = tau + (omega²/sigma²)·n is a line in n. Windows may
also resemble the ones before. The factor of the long-run variance, 1 + 2·Σ(1 - k/(L + 1))·rho_k, is that of Newey and
West (1987, "A simple, positive semi-definite, heteroskedasticity and autocorrelation consistent covariance matrix")
with the bandwidth L of Andrews (1991, "Heteroskedasticity and autocorrelation consistent covariance matrix
estimation", the AR(1) plug-in).

All of it is estimated, so an upper confidence bound takes its place: few windows give wide bounds. Where windows have
about the same number of rows, tau and omega² cannot be told apart; then both extremes are kept, and whichever says more
about another number of rows is used, which bounds every mixture of the two, as their variance is linear in tau.
"""

import msgspec
import numpy as np
from scipy.special import ndtri

from workers.drift_watch.scores import Flags, Floats

CONFIDENCE = 0.95
MIN_VARIATION = 0.5
"""The coefficient of variation of n from which on the line is fitted."""
_ROUNDS = 3


class Dependence(msgspec.Struct, frozen=True, eq=False):
    """Two versions of tau and omega²/sigma², both of shape (2, scores), and the long-run factor, of shape (scores,)."""

    tau: Floats
    omega: Floats
    long_run: Floats

    def rows_per_independent(self, rows: Floats) -> Floats:
        """Return how many rows say as much as an independent one, in windows of so many; both of shape (scores,)."""
        per_independent: Floats = self.long_run * np.max(self.tau + self.omega * rows, axis=0)
        return per_independent


def fit_dependence(deviations: Floats, rows: Floats, variance: Floats, spent: Floats) -> Dependence:
    """Fit to windows: deviations of their means and rows (windows, scores), one row's variance and spent freedom.

    Windows are consecutive; a lost one has 0 rows. `spent` says how many means were fitted to the windows, of shape
    (scores,). A score without variance, or without windows, counts as independent.
    """
    seen = (rows > 0) & (variance > 0)
    windows = seen.sum(axis=0)
    freedom = np.maximum(windows - spent, 1.0)
    squares = np.where(seen, deviations**2 * rows / np.where(variance > 0, variance, 1.0), 0.0)
    tau, omega = _components(squares * (windows / freedom), rows, seen)
    best = np.maximum(np.max(tau[:, None] + omega[:, None] * rows, axis=0), 1.0)
    standardised = np.where(seen, deviations * np.sqrt(rows / (np.where(variance > 0, variance, 1.0) * best)), 0.0)
    long_run, bandwidth = _long_run(standardised, seen)
    relative = np.sqrt(2 * (1 + 2 * bandwidth / 3) / freedom)
    upper = long_run * (1 + ndtri(CONFIDENCE) * relative)
    return Dependence(tau, omega, np.where(windows > 0, upper, 1.0))


def _components(squares: Floats, rows: Floats, seen: Flags) -> tuple[Floats, Floats]:
    """Fit the line tau + omega·n, weighted by its own square; tau is at least 1 and omega at least 0."""
    count = np.maximum(seen.sum(axis=0), 1)
    mean_rows = np.maximum((rows * seen).sum(axis=0) / count, 1.0)
    variation = np.sqrt((((rows - mean_rows) * seen) ** 2).sum(axis=0) / count) / mean_rows
    level = squares.sum(axis=0) / count
    extremes = np.maximum(level, 1.0), np.maximum(level - 1, 0.0) / mean_rows
    tau, omega = np.maximum(level, 1.0), np.zeros_like(level)
    for _ in range(_ROUNDS):
        tau, omega = _line(squares, rows, seen / (tau + omega * rows) ** 2)
    is_fitted = variation >= MIN_VARIATION
    ones, zeros = np.ones_like(level), np.zeros_like(level)
    return (
        np.where(is_fitted, tau, np.stack([extremes[0], ones])),
        np.where(is_fitted, omega, np.stack([zeros, extremes[1]])),
    )


def _line(squares: Floats, rows: Floats, weights: Floats) -> tuple[Floats, Floats]:
    total = np.maximum(weights.sum(axis=0), 1e-300)
    mean_rows, level = (weights * rows).sum(axis=0) / total, (weights * squares).sum(axis=0) / total
    across = np.maximum((weights * (rows - mean_rows) ** 2).sum(axis=0), 1e-300)
    slope = (weights * (rows - mean_rows) * (squares - level)).sum(axis=0) / across
    flat, steep = np.maximum(level, 1.0), np.maximum(level - 1, 0.0) / np.maximum(mean_rows, 1.0)
    intercept = level - slope * mean_rows
    tau = np.where(slope <= 0, flat, np.maximum(intercept, 1.0))
    return tau, np.where(slope <= 0, 0.0, np.where(intercept < 1, steep, slope))


def _long_run(standardised: Floats, seen: Flags) -> tuple[Floats, Floats]:
    """Return the factor, at least 1, and the bandwidth; a lag is judged from the pairs of windows that both exist."""
    count = np.maximum(seen.sum(axis=0), 1)
    power = np.maximum((standardised**2).sum(axis=0), 1e-300)

    def correlation(lag: int) -> Floats:
        pairs = np.maximum((seen[lag:] & seen[:-lag]).sum(axis=0), 1)
        products = (standardised[lag:] * standardised[:-lag]).sum(axis=0)
        # A mean that was fitted to the windows makes them seem less alike, by about 1/windows.
        correlations: Floats = np.clip(products / power * count / pairs + 1 / count, -1.0, 1.0)
        return correlations

    longest = max(1, len(seen) // 4)
    if len(seen) <= 1:
        return np.ones(seen.shape[1]), np.ones(seen.shape[1])
    first = np.clip(correlation(1), -0.97, 0.97)
    alpha = 4 * first**2 / (1 - first**2) ** 2
    bandwidth = np.clip(np.ceil(1.1447 * np.cbrt(alpha * count)), 1, longest)
    factor = np.ones(seen.shape[1])
    for lag in range(1, int(bandwidth.max()) + 1):
        factor += 2 * np.maximum(1 - lag / (bandwidth + 1), 0.0) * correlation(lag)
    return np.maximum(factor, 1.0), bandwidth
