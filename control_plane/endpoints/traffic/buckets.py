"""How an endpoint's 10,000 buckets are dealt to its deployments."""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

from schemas.events.endpoints import BUCKETS, Allocation, BucketRange

_BUCKETS_PER_PERCENT = BUCKETS // 100
_ROUNDING = 1e-6
_UNOWNED = ""

_Segment = tuple[int, int, str]


def buckets_of(weight_percent: float) -> int | None:
    """Return how many buckets a weight stands for; None when it isn't 0 to 100 with at most two decimals."""
    exact = weight_percent * _BUCKETS_PER_PERCENT
    if not 0 <= exact <= BUCKETS or abs(exact - round(exact)) > _ROUNDING:
        return None
    return round(exact)


def reallocate(current: Sequence[Allocation], buckets: Mapping[str, int]) -> tuple[Allocation, ...]:
    """Deal the buckets again so that the fewest change their owner; `buckets` must sum to 10,000.

    A deployment that shrinks gives its highest buckets; one that grows keeps all it has. Free buckets are dealt from
    the lowest up, to those that grow in the order of `buckets`. The same input gives the same ranges forever.
    """
    kept = list(_keep(_segments(current), buckets))
    wants = {name: count - _owned(kept, name) for name, count in buckets.items()}
    return _allocations(list(_deal(kept, wants)), list(buckets))


def weights_of(allocations: Iterable[Allocation]) -> dict[str, float]:
    """Return the weight of each deployment that serves."""
    return {allocation.deployment_id: allocation.weight_percent for allocation in allocations}


def _segments(allocations: Sequence[Allocation]) -> list[_Segment]:
    owned = sorted(
        (piece.start, piece.end, allocation.deployment_id) for allocation in allocations for piece in allocation.ranges
    )
    return owned or [(0, BUCKETS, _UNOWNED)]


def _keep(segments: Sequence[_Segment], buckets: Mapping[str, int]) -> Iterable[_Segment]:
    """Yield the segments in order; what an owner has beyond its buckets becomes unowned."""
    remaining = dict(buckets)
    for start, end, owner in segments:
        kept = min(end - start, remaining.get(owner, 0))
        remaining[owner] = remaining.get(owner, 0) - kept
        if kept:
            yield start, start + kept, owner
        if start + kept < end:
            yield start + kept, end, _UNOWNED


def _deal(segments: Sequence[_Segment], wants: Mapping[str, int]) -> Iterable[_Segment]:
    """Yield the segments in order, the unowned ones cut up among those that want buckets."""
    takers = deque((name, count) for name, count in wants.items() if count > 0)
    for start, end, owner in segments:
        if owner != _UNOWNED:
            yield start, end, owner
            continue
        at = start
        while at < end:
            name, count = takers.popleft()
            taken = min(end - at, count)
            yield at, at + taken, name
            at += taken
            if taken < count:
                takers.appendleft((name, count - taken))


def _allocations(segments: Sequence[_Segment], order: Sequence[str]) -> tuple[Allocation, ...]:
    ranges: dict[str, list[BucketRange]] = {name: [] for name in order}
    for owner, run in groupby(segments, key=lambda segment: segment[2]):
        pieces = list(run)
        ranges[owner].append(BucketRange(pieces[0][0], pieces[-1][1]))
    return tuple(
        Allocation(
            deployment_id=name,
            weight_percent=sum(piece.end - piece.start for piece in pieces) / _BUCKETS_PER_PERCENT,
            ranges=tuple(pieces),
        )
        for name, pieces in ranges.items()
        if pieces
    )


def _owned(segments: Sequence[_Segment], name: str) -> int:
    return sum(end - start for start, end, owner in segments if owner == name)
