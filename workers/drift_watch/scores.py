"""Bounded scores of a feature's values, and their means in a window.

A numeric value has a `location` u, its mid-rank among the values of the reference, from 0 to 1, and a `spread`
|2u - 1|. The mean of u over new values, minus a half, is P(new > old) + P(new = old)/2 - 1/2: the Mann-Whitney U
divided by both counts, minus a half (Mann and Whitney 1947, "On a test of whether one of two random variables is
stochastically larger than the other"). All other scores are indicators, so that their means are shares.
"""

from collections.abc import Iterator, Sequence
from typing import Literal, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from workers.drift_watch.windows import FeatureWindow

Kind: TypeAlias = Literal["location", "spread", "outside", "missing", "category", "new"]
Floats: TypeAlias = npt.NDArray[np.float64]
Flags: TypeAlias = npt.NDArray[np.bool_]
Means: TypeAlias = Sequence[tuple[float, int]]
"""Of each score its mean in a window and the number of rows behind it; the mean of no rows is 0."""

MAX_CATEGORIES = 20


class Score(msgspec.Struct, frozen=True):
    """One score of one feature."""

    feature: str
    kind: Kind
    category: str = ""

    @property
    def is_share(self) -> bool:
        """Whether the mean is a share of rows, and not of ranks."""
        return self.kind not in {"location", "spread"}


class NumericScale(msgspec.Struct, frozen=True, eq=False):
    """The reference of a numeric feature: its bins, and how many values are below each.

    `keys` has shape (bins,) and ascends; `below` has shape (bins + 1,) and ends with the number of all values.
    """

    feature: str
    keys: npt.NDArray[np.int64]
    below: Floats

    @property
    def scores(self) -> list[Score]:
        """Return the scores in the order of `means`."""
        return [Score(self.feature, kind) for kind in _NUMERIC]

    def means(self, window: FeatureWindow) -> Means:
        """Return the means of a window. Infinite values and text are outside of the reference's range."""
        numbers = 0 if window.is_text else window.values
        location = spread = 0.0
        outside = window.infinite + window.values - numbers
        if numbers:
            keys, counts = _arrays(window)
            ranks = self.ranks(keys)
            location = float(counts @ ranks) / numbers
            spread = float(counts @ np.abs(2 * ranks - 1)) / numbers
            outside += int(counts[(keys < self.keys[0]) | (keys > self.keys[-1])].sum())
        present = window.values + window.infinite
        return [
            (location, numbers),
            (spread, numbers),
            _share(outside, present),
            _share(window.missing, window.rows),
        ]

    def ranks(self, keys: npt.NDArray[np.int64]) -> Floats:
        """Return the mid-ranks, from 0 to 1, of the values in bins; shape as that of the keys."""
        lower = self.below[np.searchsorted(self.keys, keys, side="left")]
        upper = self.below[np.searchsorted(self.keys, keys, side="right")]
        ranks: Floats = (lower + upper) / (2 * self.below[-1])
        return ranks

    def values_of_scores(self) -> list[tuple[Floats, Floats] | None]:
        """Return for location and spread the reference's own values and weights, each of shape (bins,)."""
        ranks, weights = self.ranks(self.keys), np.diff(self.below) / self.below[-1]
        return [(ranks, weights), (np.abs(2 * ranks - 1), weights), None, None]


class CategoricalScale(msgspec.Struct, frozen=True):
    """The reference of a feature of text: the categories to watch, and all that it has."""

    feature: str
    watched: tuple[str, ...]
    known: frozenset[str]
    bad_only: bool = False

    @property
    def scores(self) -> list[Score]:
        """Return the scores in the order of `means`."""
        watched = [Score(self.feature, "category", category) for category in self.watched]
        return watched if self.bad_only else [*watched, Score(self.feature, "new"), Score(self.feature, "missing")]

    def means(self, window: FeatureWindow) -> Means:
        """Return the means of a window. Numbers, infinite ones too, are values that the reference does not have.

        Text that the window counted without naming it may be anything, so it is in no share but that of the whole.
        """
        present = window.values + window.infinite
        watched = [_share(window.categories.get(category, 0), present) for category in self.watched]
        if self.bad_only:
            return watched
        new = sum(count for category, count in window.categories.items() if category not in self.known)
        new += window.infinite + sum(window.bins.values())
        return [*watched, _share(new, present), _share(window.missing, window.rows)]

    def values_of_scores(self) -> list[tuple[Floats, Floats] | None]:
        """Return None of each score: all are indicators."""
        return [None] * len(self.scores)


class EmptyScale(msgspec.Struct, frozen=True):
    """The reference of a feature that never had a value: only the share of missing ones can be watched."""

    feature: str

    @property
    def scores(self) -> list[Score]:
        """Return the scores in the order of `means`."""
        return [Score(self.feature, "missing")]

    def means(self, window: FeatureWindow) -> Means:
        """Return the mean of a window."""
        return [_share(window.missing, window.rows)]

    def values_of_scores(self) -> list[tuple[Floats, Floats] | None]:
        """Return None of the only score, an indicator."""
        return [None]


Scale: TypeAlias = NumericScale | CategoricalScale | EmptyScale
_NUMERIC: tuple[Kind, ...] = ("location", "spread", "outside", "missing")


def scale_of(feature: str, reference: FeatureWindow, *, bad_categories: Sequence[str] = ()) -> Scale:
    """Return the scale that a reference, merged over its time, gives a feature."""
    if bad_categories:
        known = frozenset(reference.categories) | set(bad_categories)
        return CategoricalScale(feature, tuple(bad_categories), known, bad_only=True)
    if reference.bins:
        keys, counts = _arrays(reference)
        return NumericScale(feature, keys, np.concatenate([[0.0], np.cumsum(counts)]))
    if reference.categories:
        return CategoricalScale(feature, tuple(_most_frequent(reference)), frozenset(reference.categories))
    return EmptyScale(feature)


def _most_frequent(reference: FeatureWindow) -> Iterator[str]:
    ordered = sorted(reference.categories.items(), key=lambda each: (-each[1], each[0]))
    return (category for category, count in ordered[:MAX_CATEGORIES] if count)


def _arrays(window: FeatureWindow) -> tuple[npt.NDArray[np.int64], Floats]:
    """Return the keys of the bins that hold something, ascending, and their counts."""
    keys = np.array([key for key, count in window.bins.items() if count], dtype=np.int64)
    counts = np.array([count for count in window.bins.values() if count], dtype=np.float64)
    order = np.argsort(keys)
    return keys[order], counts[order]


def _share(count: int, rows: int) -> tuple[float, int]:
    return (count / rows if rows else 0.0), rows
