"""Turns what was gathered into features: each value under the number of its feature, and counts beside them."""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from projections.feature_summaries import names
from projections.feature_summaries.captured import Content
from projections.feature_summaries.gathering import MAX_COLUMNS, Gathered, Gathering, Key
from projections.feature_summaries.vectors import NAMES as NAMES_OF_STAND_INS
from projections.feature_summaries.vectors import stand_ins
from schemas.feature_summaries import FeatureKind as Kind


class Feature(NamedTuple):
    """A feature of a scope. What is a number for some requests and a text for others is two features."""

    scope: int
    name: str
    kind: Kind


class Features:
    """The features of a batch by their numbers, which count from 0 in the order of appearance."""

    def __init__(self) -> None:
        self.numbers: dict[Feature, int] = {}
        self.values: list[tuple[NDArray[np.int64], NDArray[np.float64]]] = []
        self.texts: defaultdict[int, Counter[str]] = defaultdict(Counter)
        self.captured_texts: set[int] = set()
        """Features among `texts` whose categories are what callers or models wrote."""
        self.missing_texts: Counter[int] = Counter()
        self.unreadable: Counter[int] = Counter()
        self.unreadable_numbers: Counter[int] = Counter()
        """Values among `unreadable` that are also NaN in `values`."""
        self.cut: Counter[int] = Counter()

    def number_of(self, scope: int, name: str, kind: Kind) -> int:
        """Return the number of a feature, which it gets now if it is new."""
        return self.numbers.setdefault(Feature(scope, name, kind), len(self.numbers))

    def add_all(self, gathering: Gathering) -> None:
        """Add every tensor."""
        for (scope, name), unreadable in gathering.unreadable_tensors.items():
            self.unreadable[self.number_of(scope, name, "number")] += unreadable
        for key, gathered in gathering.tensors.items():
            self._add(key, gathered)

    def _add(self, key: Key, gathered: Gathered) -> None:
        name = names.of_tensor(key.side, key.tensor) if key.side else key.tensor
        if not gathered.numbers and not gathered.texts:
            # A shape may claim columns that were never there.
            self._count([self.number_of(key.scope, name, _KINDS[key.content])], gathered)
        elif key.content != "numbers":
            self._add_texts(key, gathered, name)
        elif key.width > MAX_COLUMNS:
            self._add_wide(key, gathered, name)
        else:
            self._add_numbers(key, gathered, name)

    def _add_numbers(self, key: Key, gathered: Gathered, name: str) -> None:
        columns = [self.number_of(key.scope, each, "number") for each in _columns(name, key.width)]
        self._count(columns, gathered)
        for column, unreadable in gathered.unreadable.items():
            self.unreadable[columns[column]] += unreadable
            self.unreadable_numbers[columns[column]] += unreadable
        values = np.frombuffer(gathered.numbers, dtype=np.float64)
        self.values.append((np.tile(np.array(columns, dtype=np.int64), len(values) // len(columns)), values))

    def _add_wide(self, key: Key, gathered: Gathered, name: str) -> None:
        columns = [self.number_of(key.scope, names.derived(name, each), "number") for each in NAMES_OF_STAND_INS]
        self._count(columns, gathered)
        found = stand_ins(np.frombuffer(gathered.numbers, dtype=np.float64).reshape(-1, key.width))
        self.values.append((np.tile(np.array(columns, dtype=np.int64), len(found)), found.ravel()))

    def _add_texts(self, key: Key, gathered: Gathered, name: str) -> None:
        width = key.width if key.width <= MAX_COLUMNS else 1
        for column, feature in enumerate(_columns(name, width)):
            texts = gathered.texts[column::width]
            number = self.number_of(key.scope, feature, "category")
            self._count([number], gathered)
            unreadable = sum(count for at, count in gathered.unreadable.items() if at % width == column)
            self.unreadable[number] += unreadable
            counted = Counter(texts)
            self.missing_texts[number] += counted.pop(None, 0) - unreadable
            self.texts[number].update({text: count for text, count in counted.items() if text is not None})
            if key.content == "texts":
                self.captured_texts.add(number)
                self._add_sizes(key.scope, feature, texts)

    def _add_sizes(self, scope: int, feature: str, texts: Sequence[str | None]) -> None:
        written = [text for text in texts if text is not None]
        for what, size in _SIZES.items():
            number = self.number_of(scope, names.derived(feature, what), "number")
            sizes = np.fromiter(map(size, written), dtype=np.float64, count=len(written))
            self.values.append((np.full(len(written), number, dtype=np.int64), sizes))

    def _count(self, columns: Sequence[int], gathered: Gathered) -> None:
        for number in columns:
            self.unreadable[number] += gathered.unreadable_rows
            self.cut[number] += gathered.cut


def _columns(name: str, width: int) -> Sequence[str]:
    return [names.of_column(name, column) for column in range(width)] if width > 1 else [name]


def _words(text: str) -> int:
    return len(text.split())


_KINDS: dict[Content, Kind] = {"numbers": "number", "texts": "category", "truths": "category"}
_SIZES: dict[str, Callable[[str], int]] = {"length": len, "words": _words}
