"""What a score's mean depends on by the clock: the hour of the day, or of the week.

A profile is used where it explains the reference's windows (F test of a one-way layout) and is shrunk towards the
overall mean by what the hours' means vary by chance alone (Efron and Morris 1973, "Stein's estimation rule and its
competitors: an empirical Bayes approach", with moments for the variances).
"""

from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt
from scipy.special import fdtrc

from workers.drift_watch.scores import Flags, Floats
from workers.drift_watch.settings import HOUR_MS

HOURS_OF_DAY, HOURS_OF_WEEK = 24, 168
MIN_DAYS, MIN_WEEKS = 2, 2
MAX_P_VALUE = 0.001
DAY_MS = HOURS_OF_DAY * HOUR_MS


class Profile(msgspec.Struct, frozen=True, eq=False):
    """Deviations from the overall mean by hour of the week, shape (168, scores), and freedom spent, (scores,).

    The deviations repeat after `period` hours.
    """

    period: int
    deviations: Floats
    spent: Floats

    def at(self, started_at_ms: int) -> Floats:
        """Return the deviations of a window that starts then, shape (scores,)."""
        deviations: Floats = self.deviations[hour_of_week(started_at_ms)]
        return deviations


def hour_of_week(started_at_ms: int) -> int:
    """Return the hour, from 0 to 167, of weeks that begin as the epoch did, on a Thursday at midnight UTC."""
    return (started_at_ms // HOUR_MS) % HOURS_OF_WEEK


def no_profile(scores: int) -> Profile:
    """Return a profile without deviations, of which one freedom is spent on the overall mean."""
    return Profile(1, np.zeros((HOURS_OF_WEEK, scores)), np.ones(scores))


def fit_profile(started_at_ms: Sequence[int], means: Floats, seen: Flags, *, window_ms: int) -> Profile:
    """Fit to the windows' starts (windows,), their scores' means and whether these are known (windows, scores)."""
    profile = no_profile(means.shape[1])
    if not started_at_ms or window_ms > HOUR_MS:
        return profile
    span_ms = max(started_at_ms) - min(started_at_ms) + window_ms
    hours = np.array([hour_of_week(each) for each in started_at_ms])
    for period, needed_ms in ((HOURS_OF_DAY, MIN_DAYS * DAY_MS), (HOURS_OF_WEEK, MIN_WEEKS * 7 * DAY_MS)):
        if span_ms >= needed_ms:
            profile = _refined(profile, hours, means, seen, period)
    return profile


def _refined(profile: Profile, hours: npt.NDArray[np.int64], means: Floats, seen: Flags, period: int) -> Profile:
    """Add what the hours of a period explain beyond the profile, for the scores where that is significant."""
    residuals = np.where(seen, means - profile.deviations[hours], 0.0)
    total = np.maximum(seen.sum(axis=0), 1)
    residuals = np.where(seen, residuals - residuals.sum(axis=0) / total, 0.0)
    count = np.zeros((period, means.shape[1]))
    sums = np.zeros_like(count)
    np.add.at(count, hours % period, seen)
    np.add.at(sums, hours % period, residuals)
    of_hour = sums / np.maximum(count, 1)
    groups = (count > 0).sum(axis=0)
    between = (count * of_hour**2).sum(axis=0)
    within = np.maximum((residuals**2).sum(axis=0) - between, 0.0)
    freedom = total - groups
    is_testable = (groups > 1) & (freedom > 0) & (within > 0)
    noise = np.where(is_testable, within / np.maximum(freedom, 1), 1.0)
    strength = np.where(is_testable, between / np.maximum(groups - 1, 1) / noise, 0.0)
    is_used = fdtrc(np.maximum(groups - 1, 1), np.maximum(freedom, 1), strength) < MAX_P_VALUE
    typical = total / np.maximum(groups, 1)
    signal = np.maximum(strength - 1, 0.0) * noise / typical
    kept = np.where(is_used & (count > 0), signal / (signal + noise / np.maximum(count, 1)), 0.0)
    shrunk = np.tile(kept * of_hour, (HOURS_OF_WEEK // period, 1))
    spent = np.where(is_used, np.maximum(kept.sum(axis=0), 1), profile.spent)
    return Profile(period if is_used.any() else profile.period, profile.deviations + shrunk, spent)
