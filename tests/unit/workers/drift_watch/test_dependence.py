import numpy as np
import pytest

from workers.drift_watch.dependence import fit_dependence
from workers.drift_watch.scores import Floats

WINDOWS, SCORES = 336, 40
VARIANCE = 1 / 12


def deviations_of(rng: np.random.Generator, rows: Floats, *, tau: float, omega: float, alike: float = 0.0) -> Floats:
    hours = omega * rng.standard_normal(rows.shape)
    for at in range(1, len(hours)):
        hours[at] = alike * hours[at - 1] + np.sqrt(1 - alike**2) * hours[at]
    return np.asarray(hours + np.sqrt(tau * VARIANCE / rows) * rng.standard_normal(rows.shape))


def rows_of(rng: np.random.Generator, *, vary: bool) -> Floats:
    return np.exp(rng.uniform(3, 8, (WINDOWS, SCORES))) if vary else np.full((WINDOWS, SCORES), 200.0)


def fitted(rows: Floats, deviations: Floats) -> tuple[Floats, Floats, Floats]:
    fit = fit_dependence(deviations, rows, np.full(SCORES, VARIANCE), np.ones(SCORES))
    return fit.tau, fit.omega * VARIANCE, fit.long_run


@pytest.mark.parametrize(("tau", "omega"), [(1.0, 0.0), (4.0, 0.0), (1.0, 0.02), (3.0, 0.02)])
def test_the_components_of_the_variance_are_recovered(tau: float, omega: float) -> None:
    rng = np.random.default_rng(1)
    rows = rows_of(rng, vary=True)

    found_tau, found_omega, _ = fitted(rows, deviations_of(rng, rows, tau=tau, omega=omega))

    assert found_tau.mean() == pytest.approx(tau, rel=0.1)
    assert found_omega.mean() == pytest.approx(omega**2, rel=0.15, abs=1.5e-5)


def test_windows_of_one_size_leave_both_extremes() -> None:
    rng = np.random.default_rng(2)
    rows = rows_of(rng, vary=False)

    fit = fit_dependence(deviations_of(rng, rows, tau=4.0, omega=0.0), rows, np.full(SCORES, VARIANCE), np.ones(SCORES))

    few, same, many = (fit.rows_per_independent(np.full(SCORES, each)).mean() for each in (20.0, 200.0, 2_000.0))
    assert few == pytest.approx(same, rel=0.01)
    assert many > 5 * same


@pytest.mark.parametrize(("alike", "factor"), [(0.0, 1.0), (0.3, 1.86), (0.6, 4.0)])
def test_the_long_run_factor_bounds_that_of_the_process(alike: float, factor: float) -> None:
    rng = np.random.default_rng(3)
    rows = np.full((WINDOWS, SCORES), 1e9)

    *_, long_run = fitted(rows, deviations_of(rng, rows, tau=1.0, omega=0.02, alike=alike))

    assert factor < long_run.mean() < 1.6 * factor


def test_few_windows_give_wide_bounds() -> None:
    rng = np.random.default_rng(4)
    rows = rows_of(rng, vary=False)
    deviations = deviations_of(rng, rows, tau=1.0, omega=0.0)

    few, many = fitted(rows[:24], deviations[:24])[2], fitted(rows, deviations)[2]

    assert few.mean() > 1.2 * many.mean()


def test_lost_windows_and_constant_scores_are_passed_over() -> None:
    rng = np.random.default_rng(5)
    rows = rows_of(rng, vary=False)
    deviations = deviations_of(rng, rows, tau=1.0, omega=0.0)
    rows[::3] = 0
    deviations[::3] = 7.0
    variance = np.full(SCORES, VARIANCE)
    variance[0] = 0.0

    fit = fit_dependence(deviations, rows, variance, np.ones(SCORES))

    assert np.all(np.isfinite(fit.long_run))
    assert fit.rows_per_independent(rows[1])[0] == 1.0
    assert fit.rows_per_independent(rows[1])[1:].mean() < 2
