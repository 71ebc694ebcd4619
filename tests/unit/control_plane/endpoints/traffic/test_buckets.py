from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from control_plane.endpoints.traffic.buckets import buckets_of, reallocate, weights_of
from schemas.events.endpoints import BUCKETS, Allocation, BucketRange

NAMES = ("a", "b", "c", "d")


@st.composite
def splits(draw: st.DrawFn) -> dict[str, int]:
    cuts = sorted(draw(st.lists(st.integers(0, BUCKETS), min_size=3, max_size=3)))
    edges = [0, *cuts, BUCKETS]
    order = draw(st.permutations(NAMES))
    return {name: edges[index + 1] - edges[index] for index, name in enumerate(order)}


def owners(allocations: Sequence[Allocation]) -> list[str]:
    ranges = sorted((piece.start, piece.end, part.deployment_id) for part in allocations for piece in part.ranges)
    assert [piece[0] for piece in ranges] == [0, *(piece[1] for piece in ranges[:-1])], "ranges have gaps or overlap"
    return [name for start, end, name in ranges for _ in range(start, end)]


@settings(max_examples=40)
@given(st.lists(splits(), min_size=1, max_size=5))
def test_ranges_tile_all_buckets_after_any_changes(changes: list[dict[str, int]]) -> None:
    allocations: tuple[Allocation, ...] = ()

    for buckets in changes:
        allocations = reallocate(allocations, buckets)

        assert len(owners(allocations)) == BUCKETS
        assert sum(round(part.weight_percent * 100) for part in allocations) == BUCKETS
        assert {part.deployment_id for part in allocations} == {name for name, count in buckets.items() if count}


@settings(max_examples=40)
@given(splits(), splits())
def test_a_change_moves_no_bucket_that_could_stay(before: dict[str, int], after: dict[str, int]) -> None:
    first = reallocate((), before)

    second = reallocate(first, after)

    moved = sum(old != new for old, new in zip(owners(first), owners(second), strict=True))
    assert moved == sum(max(0, before[name] - after[name]) for name in NAMES)


@settings(max_examples=40)
@given(splits(), splits())
def test_nobody_leaves_a_deployment_whose_weight_grows(before: dict[str, int], after: dict[str, int]) -> None:
    first = reallocate((), before)

    second = reallocate(first, after)

    for old, new in zip(owners(first), owners(second), strict=True):
        assert old == new or after[old] < before[old]


@settings(max_examples=40)
@given(splits(), splits())
def test_the_same_change_gives_the_same_ranges(before: dict[str, int], after: dict[str, int]) -> None:
    assert reallocate(reallocate((), before), after) == reallocate(reallocate((), before), after)


def test_a_canary_that_grows_and_goes_leaves_one_range_each() -> None:
    allocations = reallocate((), {"a": 10_000})

    for percent in (5, 25, 50):
        allocations = reallocate(allocations, {"a": 10_000 - percent * 100, "b": percent * 100})

        assert [part.ranges for part in allocations] == [
            (BucketRange(0, 10_000 - percent * 100),),
            (BucketRange(10_000 - percent * 100, 10_000),),
        ]
    assert weights_of(reallocate(allocations, {"a": 10_000, "b": 0})) == {"a": 100.0}


def test_a_weight_has_at_most_two_decimals_and_lies_within_0_and_100() -> None:
    assert [buckets_of(weight) for weight in (0, 0.01, 33.33, 99.71, 100)] == [0, 1, 3_333, 9_971, 10_000]
    assert [buckets_of(weight) for weight in (-0.01, 0.001, 100.01, float("nan"), float("inf"))] == [None] * 5
