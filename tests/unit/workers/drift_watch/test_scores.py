import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tests.unit.workers.drift_watch.series import numbers, texts
from workers.drift_watch.scores import MAX_CATEGORIES, NumericScale, Score, scale_of
from workers.drift_watch.windows import FeatureWindow

VALUES = st.lists(st.integers(-5, 5), min_size=1, max_size=40)


@given(VALUES, VALUES)
def test_the_mean_rank_is_the_u_of_mann_and_whitney(reference: list[int], values: list[int]) -> None:
    before, now = np.array(reference, dtype=np.float64), np.array(values, dtype=np.float64)
    scale = scale_of("amount", numbers(before))

    (location, rows), *_ = scale.means(numbers(now))

    expected = stats.mannwhitneyu(now, before).statistic / (len(now) * len(before))
    assert location == pytest.approx(expected)
    assert rows == len(now)


def test_infinite_values_and_text_are_outside_of_the_range_of_numbers() -> None:
    scale = scale_of("amount", numbers(np.arange(10.0)))

    assert scale.means(numbers(np.arange(8.0), infinite=2))[2] == (0.2, 10)
    assert scale.means(texts({"n/a": 4}))[:3] == [(0.0, 0), (0.0, 0), (1.0, 4)]
    assert scale.means(numbers(np.array([-1e9, 5, 1e9, 5])))[2] == (0.5, 4)


def test_a_window_without_rows_has_no_means() -> None:
    empty = FeatureWindow(started_at_ms=0)

    assert scale_of("amount", numbers(np.arange(10.0))).means(empty) == [(0.0, 0)] * 4
    assert scale_of("country", texts({"fr": 3})).means(empty) == [(0.0, 0)] * 3


def test_only_missing_values_leave_only_their_share_to_watch() -> None:
    scale = scale_of("amount", FeatureWindow(started_at_ms=0, missing=5))

    assert scale.scores == [Score("amount", "missing")]
    assert scale.means(numbers(np.arange(3.0), missing=1)) == [(0.25, 4)]


def test_categories_are_watched_by_how_frequent_they_are() -> None:
    counts = {f"c{at}": at + 1 for at in range(30)}
    scale = scale_of("country", texts(counts))

    assert [score.category for score in scale.scores[:2]] == ["c29", "c28"]
    assert len(scale.scores) == MAX_CATEGORIES + 2
    assert scale.means(texts({"c0": 1, "zz": 3}, missing=4))[-2:] == [(0.75, 4), (0.5, 8)]


def test_bad_categories_are_watched_even_if_they_never_occurred() -> None:
    scale = scale_of("prediction", texts({"right": 5}), bad_categories=["wrong"])

    assert scale.scores == [Score("prediction", "category", "wrong")]
    assert scale.means(texts({"wrong": 1, "right": 3})) == [(0.25, 4)]


def test_a_constant_column_has_one_rank() -> None:
    scale = scale_of("amount", numbers(np.full(9, 3.0)))

    assert isinstance(scale, NumericScale)
    assert scale.means(numbers(np.full(2, 3.0)))[:3] == [(0.5, 2), (0.0, 2), (0.0, 2)]
    assert scale.means(numbers(np.full(2, 4.0)))[:3] == [(1.0, 2), (1.0, 2), (1.0, 2)]
