import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from workers.drift_watch.evidence import (
    DIRECTIONS,
    EFFECTS,
    MAX_EVIDENCE,
    Evidence,
    Limits,
    Nulls,
    grown,
    limits_of,
    nulls_of,
    quantile_for_reference,
    threshold_of,
    weighted,
)
from workers.drift_watch.scores import Floats

NEVER = np.zeros(1, np.bool_)
SHARES = st.floats(0.02, 0.98)


def null_of(bound: float, variance: float) -> Nulls:
    """A location whose mean must be exactly at the bound."""
    at = np.array([bound])
    return nulls_of(Limits(at, at), np.array([variance]), NEVER)


def ratios(nulls: Nulls, mean: float, *, rows: float) -> Evidence:
    ratios: Evidence = nulls.bets(np.array([rows])).ratios(np.array([mean]))[0]
    return ratios


@given(st.lists(st.floats(0, 1), min_size=2, max_size=6), st.data(), st.integers(1, 500))
def test_no_distribution_within_the_bound_has_an_expected_ratio_above_1(
    values: list[float], data: st.DataObject, rows: int
) -> None:
    parts = np.array([data.draw(st.integers(1, 1000)) for _ in values])
    weights, points = parts / parts.sum(), np.array(values)
    mean, variance = weights @ points, weights @ (points - weights @ points) ** 2
    for shift in (0.0, 0.05):
        # A window's mean takes these values; its variance is that of `rows` rows.
        up = null_of(min(mean + shift, 0.999), max(rows * variance, 1e-6))
        down = null_of(max(mean - shift, 0.001), max(rows * variance, 1e-6))
        expected = [
            sum(weight * ratios(nulls, point, rows=rows) for weight, point in zip(weights, points, strict=True))
            for nulls in (up, down)
        ]
        if mean + shift < 0.999:
            assert np.all(expected[0][0] <= 1 + 1e-9)
        if mean - shift > 0.001:
            assert np.all(expected[1][1] <= 1 + 1e-9)


@given(SHARES, st.floats(0, 1), st.integers(1, 60))
def test_no_share_within_the_bound_has_an_expected_ratio_above_1(bound: float, part: float, rows: int) -> None:
    nulls = nulls_of(Limits(np.array([bound]), np.array([bound])), np.zeros(1), np.ones(1, np.bool_))
    counts = np.arange(rows + 1)
    looked = np.stack([ratios(nulls, count / rows, rows=rows) for count in counts])
    for direction, share in ((0, bound * part), (1, bound + (1 - bound) * part)):
        chances = stats.binom.pmf(counts, rows, share)
        assert np.all(np.einsum("c,ce->e", chances, looked[:, direction]) <= 1 + 1e-9)


def test_small_bets_are_the_likelihood_ratio_of_normal_means() -> None:
    bound, variance, rows, effect = 0.5, 1 / 12, 100.0, EFFECTS[0]
    mean, deviation = 0.503, np.sqrt(variance / rows)

    found = np.log(ratios(null_of(bound, variance), mean, rows=rows)[0, 0])

    expected = stats.norm.logpdf(mean, bound + effect, deviation) - stats.norm.logpdf(mean, bound, deviation)
    assert found == pytest.approx(expected, abs=1e-4)


def test_directions_mirror_each_other() -> None:
    nulls = null_of(0.5, 1 / 12)

    assert ratios(nulls, 0.58, rows=50)[0] == pytest.approx(ratios(nulls, 0.42, rows=50)[1])


def test_nothing_is_at_stake_without_rows_or_variance_or_a_possible_mean() -> None:
    impossible = nulls_of(Limits(np.array([-0.01]), np.array([1.0])), np.zeros(1), np.ones(1, np.bool_))

    assert np.all(ratios(null_of(0.5, 1 / 12), 0.0, rows=0) == 1)
    assert np.all(ratios(null_of(0.5, 0.0), 0.9, rows=10) == 1)
    assert np.all(ratios(impossible, 0.9, rows=10) == 1)


@given(st.lists(st.floats(0.01, 20), min_size=1, max_size=30))
def test_the_recursion_is_the_sum_over_all_starts(factors: list[float]) -> None:
    evidence = np.zeros(1)
    for factor in factors:
        evidence = grown(evidence, np.array([factor]))

    expected = sum(np.prod(factors[start:]) for start in range(len(factors)))
    assert evidence[0] == pytest.approx(min(expected, MAX_EVIDENCE))


def test_weights_that_add_up_to_1_make_a_mean() -> None:
    evidence = np.full((4, len(DIRECTIONS), len(EFFECTS)), 7.0)

    assert weighted(evidence, np.full(4, 1 / 8)).sum() == pytest.approx(7.0)


def test_the_budget_is_divided_between_evidence_and_reference() -> None:
    windows, limits = 720, 100

    by_evidence = windows / threshold_of(budget=0.1, horizon_windows=windows)
    by_reference = limits * stats.norm.sf(quantile_for_reference(budget=0.1, limits=limits))

    assert by_evidence + by_reference == pytest.approx(0.1)


def test_limits_are_wider_where_the_reference_says_less() -> None:
    def limits(rows: float) -> tuple[Floats, Floats]:
        means = np.array([0.5, 0.0, 0.2])
        found = limits_of(
            means,
            np.array([0.02, 0.01, 0.01]),
            error=np.sqrt(means * (1 - means) / rows),
            rows=np.full(3, rows),
            is_share=np.array([False, True, True]),
            z=3.0,
        )
        return found.lower, found.upper

    (lower_few, upper_few), (lower_many, upper_many) = limits(100), limits(1e9)

    assert np.all(upper_few > upper_many)
    assert np.all(lower_few <= lower_many + 1e-12)
    assert upper_many == pytest.approx([0.52, 0.01, 0.21], abs=1e-3)


def test_months_without_drift_keep_the_budget() -> None:
    windows, streams, months = 200, 20, 100
    means = np.random.default_rng(7).normal(0.5, np.sqrt(1 / 1200), (windows, months * streams))
    at = np.full(months * streams, 0.5)
    bets = nulls_of(Limits(at, at), np.full(months * streams, 1 / 12), np.zeros(months * streams, np.bool_)).bets(
        np.full(months * streams, 100.0)
    )
    evidence, highest = np.zeros((months * streams, len(DIRECTIONS), len(EFFECTS))), np.zeros(months)
    for window in means:
        evidence = grown(evidence, bets.ratios(window))
        parts = weighted(
            evidence.reshape(months, streams, len(DIRECTIONS), len(EFFECTS)), np.full(streams, 0.5 / streams)
        )
        highest = np.maximum(highest, parts.sum(axis=1))

    assert (highest >= windows / 0.2).mean() <= 0.2
