import numpy as np

from workers.drift_watch.scores import Floats
from workers.drift_watch.seasons import HOURS_OF_WEEK, Profile, fit_profile
from workers.drift_watch.settings import HOUR_MS

NOISE = 0.02


def fitted(curve: Floats, *, days: int, seed: int, scores: int = 20) -> Profile:
    hours = days * 24
    means = np.resize(curve, hours)[:, None] + NOISE * np.random.default_rng(seed).standard_normal((hours, scores))
    return fit_profile(
        [hour * HOUR_MS for hour in range(hours)], means, np.ones(means.shape, np.bool_), window_ms=HOUR_MS
    )


def test_a_curve_of_the_day_is_recovered() -> None:
    curve = 0.05 * np.sin(2 * np.pi * np.arange(24) / 24)

    profile = fitted(curve, days=7, seed=1)

    error = profile.deviations[:24] - curve[:, None]
    assert profile.period == 24
    assert np.sqrt((error**2).mean()) < 1.1 * NOISE / np.sqrt(7)


def test_weekends_are_told_from_weekdays() -> None:
    curve = np.where(np.arange(HOURS_OF_WEEK) < 48, 0.06, 0.0)

    profile = fitted(curve, days=28, seed=2)

    assert profile.period == HOURS_OF_WEEK
    assert profile.deviations[:48].mean() - profile.deviations[48:].mean() > 0.05


def test_chance_alone_makes_no_profile() -> None:
    profile = fitted(np.zeros(24), days=7, seed=3)

    assert profile.period == 1
    assert not profile.deviations.any()


def test_a_day_or_windows_of_days_show_no_profile() -> None:
    curve = 0.05 * np.sin(2 * np.pi * np.arange(24) / 24)
    days = np.random.default_rng(4).random((30, 2))

    assert fitted(curve, days=1, seed=4).period == 1
    by_day = fit_profile(
        [day * 24 * HOUR_MS for day in range(30)], days, np.ones(days.shape, np.bool_), window_ms=24 * HOUR_MS
    )
    assert by_day.period == 1
