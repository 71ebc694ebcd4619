"""The summary of one feature over one window of time, and how summaries are added."""

from collections import Counter
from collections.abc import Iterable, Mapping

import msgspec

from workers.drift_watch.errors import WindowRefusedError

MIN_KEY, MAX_KEY = -(2**63), 2**63 - 1


class FeatureWindow(msgspec.Struct, frozen=True, kw_only=True):
    """What a window saw of one feature.

    `values` counts the values that are neither missing nor infinite. They are in `bins` if the feature is numeric: key
    of a bin to count, keys ordered as the values are. They are in `categories` if it is text. Other text than the
    categories listed may be left out and is then only in `values`. Raises WindowRefusedError for counts that cannot be.
    """

    started_at_ms: int
    values: int = 0
    missing: int = 0
    infinite: int = 0
    bins: Mapping[int, int] = {}
    categories: Mapping[str, int] = {}

    def __post_init__(self) -> None:
        """Refuse counts that contradict each other."""
        if min(self.values, self.missing, self.infinite, *self.bins.values(), *self.categories.values()) < 0:
            raise WindowRefusedError("a count is negative")
        if self.bins and self.categories:
            raise WindowRefusedError("a feature has either bins or categories, not both")
        if self.bins and sum(self.bins.values()) != self.values:
            raise WindowRefusedError(f"the bins hold {sum(self.bins.values())} values, and not {self.values}")
        if sum(self.categories.values()) > self.values:
            raise WindowRefusedError(f"the categories hold more than {self.values} values")
        if self.bins and not (min(self.bins) >= MIN_KEY and max(self.bins) <= MAX_KEY):
            raise WindowRefusedError("the key of a bin does not fit in 64 bits")

    @property
    def rows(self) -> int:
        """Return how many rows the window has, with and without a value."""
        return self.values + self.missing + self.infinite

    @property
    def is_text(self) -> bool:
        """Whether there are values and none of them is in a bin."""
        return self.values > 0 and not self.bins


def merged(windows: Iterable[FeatureWindow]) -> FeatureWindow:
    """Add windows of one feature; the sum starts with the earliest. Raises WindowRefusedError for none at all.

    A feature that was numeric in some windows and text in others is what most of its values were; the other values
    are dropped, since no order joins them.
    """
    every = list(windows)
    if not every:
        raise WindowRefusedError("there is no window to merge")
    of_text = sum(each.values for each in every if each.is_text)
    is_text = 2 * of_text > sum(each.values for each in every)
    bins: Counter[int] = Counter()
    categories: Counter[str] = Counter()
    values = 0
    for each in every:
        if each.is_text == is_text:
            bins.update(each.bins)
            categories.update(each.categories)
            values += each.values
    return FeatureWindow(
        started_at_ms=min(each.started_at_ms for each in every),
        values=values,
        missing=sum(each.missing for each in every),
        infinite=sum(each.infinite for each in every),
        bins=dict(bins),
        categories=dict(categories),
    )
