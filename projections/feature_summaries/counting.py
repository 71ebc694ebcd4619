"""Summarises the values of all features of a batch at once, as columns with an entry for each feature."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from infra.value_bins import bin_of
from projections.feature_summaries.categories import kept
from projections.feature_summaries.features import Features

_BIN_BITS = 32


def columns_of_numbers(features: Features, numbers: Sequence[int]) -> dict[str, Any]:
    """Return what is counted and added up of numbers; of other features it is nothing."""
    places = np.full(len(features.numbers), -1, dtype=np.int64)
    places[numbers] = np.arange(len(numbers))
    parts = [(places[ids], values) for ids, values in features.values]
    places_of = np.concatenate([np.empty(0, dtype=np.int64), *(ids for ids, _ in parts)])
    values = np.concatenate([np.empty(0), *(values for _, values in parts)])
    is_chosen = places_of >= 0
    at, of = places_of[is_chosen], values[is_chosen]
    size = len(numbers)
    is_finite, is_infinite = np.isfinite(of), np.isinf(of)
    nans = np.bincount(at[~is_finite & ~is_infinite], minlength=size)
    unreadable = np.array([features.unreadable_numbers[number] for number in numbers], dtype=np.int64)
    infinite = np.bincount(at[is_infinite], minlength=size)
    at, of = at[is_finite], of[is_finite]
    lowest, highest = np.full(size, np.inf), np.full(size, -np.inf)
    np.minimum.at(lowest, at, of)
    np.maximum.at(highest, at, of)
    with np.errstate(over="ignore"):
        squares = of * of
    return {
        "values": np.bincount(at, minlength=size) + [features.texts[number].total() for number in numbers],
        "missing": nans - unreadable + [features.missing_texts[number] for number in numbers],
        "infinite": infinite,
        "sum_of_values": np.bincount(at, weights=of, minlength=size),
        "sum_of_squares": np.bincount(at, weights=squares, minlength=size),
        "minimum": lowest,
        "maximum": highest,
        "bins": _bins(at, of, size),
    }


def _bins(places: NDArray[np.int64], values: NDArray[np.float64], size: int) -> pa.MapArray:
    """Count the values of all features by bin at once: places are above the bits of a bin."""
    offset = 2 ** (_BIN_BITS - 1)
    keys, counts = np.unique((places << _BIN_BITS) + (bin_of(values).astype(np.int64) + offset), return_counts=True)
    ends = np.cumsum(np.bincount(keys >> _BIN_BITS, minlength=size))
    bins = ((keys & (2**_BIN_BITS - 1)) - offset).astype(np.int32)
    offsets = np.concatenate([[0], ends]).astype(np.int32)
    return pa.MapArray.from_arrays(offsets, bins, counts.astype(np.uint32))


def columns_of_texts(features: Features, numbers: Sequence[int]) -> dict[str, Any]:
    counted = [kept(features.texts[number]) for number in numbers]
    return {
        "categories": [list(categories.items()) for categories in counted],
        "unreadable": [features.unreadable[number] for number in numbers],
        "cut": [features.cut[number] for number in numbers],
    }
