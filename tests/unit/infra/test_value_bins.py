"""The bins of numbers: their order, their edges, and that parts add up to the whole."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.value_bins import bin_of, edges_of

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
MAX = np.finfo(np.float64).max
TINY = np.finfo(np.float64).smallest_subnormal
NORMAL = np.finfo(np.float64).smallest_normal


def one(number: float) -> int:
    return int(bin_of(np.array([number]))[0])


def counted(numbers: list[float]) -> Counter[int]:
    return Counter(bin_of(np.array(numbers, dtype=np.float64)).tolist())


@given(NUMBERS, NUMBERS)
def test_the_order_of_bins_is_that_of_numbers(first: float, second: float) -> None:
    low, high = sorted((first, second))

    assert one(low) <= one(high)


@given(NUMBERS)
def test_a_bin_contains_its_numbers_and_its_edges(number: float) -> None:
    bins = bin_of(np.array([number]))

    lower, upper = edges_of(bins)

    assert lower[0] <= number <= upper[0]
    assert bin_of(np.concatenate([lower, upper])).tolist() == [bins[0], bins[0]]


@given(NUMBERS.filter(lambda number: abs(number) >= NORMAL))
def test_a_bin_is_at_most_a_thousandth_wide(number: float) -> None:
    lower, upper = edges_of(bin_of(np.array([number])))

    assert (upper[0] - lower[0]) / min(abs(lower[0]), abs(upper[0])) < 0.001


@given(st.integers(min_value=-(2**21) + 1025, max_value=2**21 - 1026))
def test_nothing_is_between_two_bins(key: int) -> None:
    lower, upper = edges_of([key, key + 1])

    assert np.nextafter(upper[0], np.inf) == lower[1]


@given(st.lists(NUMBERS), st.lists(NUMBERS), st.lists(NUMBERS))
def test_parts_merge_to_the_bins_of_the_whole(first: list[float], second: list[float], third: list[float]) -> None:
    whole = counted(first + second + third)

    assert counted(third) + (counted(first) + counted(second)) == whole
    assert (counted(second) + counted(third)) + counted(first) == whole


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (0.0, 0),
        (-0.0, 0),
        (TINY, 0),
        (-TINY, 0),
        (1.0, 1023 << 10),
        (1.0009, 1023 << 10),
        (1.001, (1023 << 10) + 1),
        (2.0, 1024 << 10),
        (-2.0, -(1024 << 10)),
        (MAX, (2047 << 10) - 1),
        (-MAX, -(2047 << 10) + 1),
    ],
)
def test_bins_are_the_same_in_every_release(number: float, expected: int) -> None:
    assert one(number) == expected


def test_a_matrix_is_binned_as_it_lies() -> None:
    numbers = np.array([[1.0, -2.0], [0.0, 2.0]])

    assert bin_of(numbers.T).tolist() == bin_of(numbers).T.tolist()
