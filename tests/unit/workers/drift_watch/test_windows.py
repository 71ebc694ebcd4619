import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.drift_watch.errors import WindowRefusedError
from workers.drift_watch.windows import FeatureWindow, merged

BINS = st.dictionaries(st.integers(-50, 50), st.integers(0, 9), max_size=8)


def window(bins: dict[int, int], started_at_ms: int = 0) -> FeatureWindow:
    return FeatureWindow(started_at_ms=started_at_ms, values=sum(bins.values()), missing=1, bins=bins)


@given(st.lists(BINS, min_size=2, max_size=5), st.data())
def test_merging_does_not_depend_on_the_order_or_the_grouping(every: list[dict[int, int]], data: st.DataObject) -> None:
    windows = [window(bins, at) for at, bins in enumerate(every)]
    cut = data.draw(st.integers(1, len(windows) - 1))

    assert merged(windows) == merged(reversed(windows))
    assert merged([merged(windows[:cut]), merged(windows[cut:])]) == merged(windows)


@pytest.mark.parametrize(
    ("counts", "reason"),
    [
        ({"values": -1}, "negative"),
        ({"values": 1, "bins": {0: 2}}, "the bins hold 2 values, and not 1"),
        ({"values": 1, "categories": {"a": 2}}, "more than 1"),
        ({"values": 2, "bins": {0: 1}, "categories": {"a": 1}}, "either bins or categories"),
        ({"values": 1, "bins": {2**63: 1}}, "64 bits"),
    ],
)
def test_counts_that_contradict_each_other_are_refused(counts: dict[str, object], reason: str) -> None:
    with pytest.raises(WindowRefusedError, match=reason):
        FeatureWindow(started_at_ms=0, **counts)  # type: ignore[arg-type]


def test_a_feature_that_was_both_is_what_most_of_its_values_were() -> None:
    text = FeatureWindow(started_at_ms=0, values=3, missing=1, categories={"a": 3})

    assert merged([window({1: 2}), text]).categories == {"a": 3}
    assert merged([window({1: 9}), text]).bins == {1: 9}
    assert merged([window({1: 9}), text]).missing == 2


def test_nothing_cannot_be_merged() -> None:
    with pytest.raises(WindowRefusedError):
        merged([])
