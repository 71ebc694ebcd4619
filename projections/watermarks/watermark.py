"""Up to when the views hold everything, and whether that is good enough. Pure."""

from collections import defaultdict
from collections.abc import Collection, Container, Iterable, Sequence

import msgspec

from schemas.events.rollouts import MissingSource
from schemas.measurement import SilentRegion, Watermark


class SourceProgress(msgspec.Struct, frozen=True, kw_only=True):
    """Up to when one source is complete, and which log it reads. All times are Unix ms."""

    kind: str
    source: str
    region: str
    log_id: str = ""
    closed_until_ms: int
    is_closing: bool
    first_seen_ms: int
    last_seen_ms: int
    has_rows: bool = True


class WatermarkPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """When a view is late, and when a source that died silently stops counting.

    A silent source is replaced by a newer one of its kind that reads the same log: at once when it shipped requests, as
    the newer one reads on; after `replaced_after_ms` when it shipped observations, as its spool may still come. The
    source of another log says nothing about what was not shipped of this one, so a log that is lost is waited for until
    `abandoned_after_ms`.

    Sources of earlier releases do not say which log they read, and count as those of one log by region, as they did
    there. None of them is replaced by a source that says it: what boots after an upgrade closes the sources that it
    finds on its disk under their own names, and what nobody closes may be missing.
    """

    late_after_ms: int = 5_000
    silent_after_ms: int = 5_000
    replaced_after_ms: int = 10_000
    abandoned_after_ms: int = 15 * 60_000


def watermark_of(
    sources: Iterable[SourceProgress],
    *,
    now_ms: int,
    policy: WatermarkPolicy,
    served_by: Container[str] | None = None,
    lost: Collection[str] = (),
    excused: Container[str] = (),
) -> Watermark:
    """Return the watermark over the sources of one kind.

    If it is known which of the silent ones served an endpoint, `served_by`, it does not wait for the others. It does
    not wait for those of excused regions either, as long as there is another region. With lost gateways of a region
    that served what is asked, `lost`, it stays late, and goes on: other regions can still show that a version fails.
    """
    seen = list(sources)
    if not seen:
        return Watermark(watermark_ms=None, freshness="no_data", lag_ms=None)
    live = live_sources(seen, now_ms=now_ms, policy=policy)
    if served_by is not None:
        silent = silent_sources(live, now_ms=now_ms, policy=policy)
        # Where no other is left, nobody knows what is missing.
        live = [one for one in live if one.source not in silent or one.source in served_by] or live
    gone = [one for one in lost_gateways(seen, now_ms=now_ms, policy=policy) if one.source in lost] if lost else []
    silent_regions = _silent_regions([*live, *gone], policy=policy)
    live = [one for one in live if one.region not in excused] or live
    gone = [one for one in gone if one.region not in excused]
    # A row may still come that ended in the very millisecond of `closed_until_ms`.
    closed = min(one.closed_until_ms for one in live) if live else max(one.closed_until_ms for one in seen)
    ahead_ms = max((_ahead_ms(one, now_ms=now_ms, policy=policy) for one in live), default=0)
    oldest = min((one.closed_until_ms for one in gone), default=closed)
    lag_ms = max(0, now_ms - (min(closed, oldest) - 1), ahead_ms)
    missing = _missing([*live, *gone], now_ms=now_ms, policy=policy)
    is_late = lag_ms > policy.late_after_ms or bool(missing)
    return Watermark(
        watermark_ms=closed - 1,
        freshness="late" if is_late else "fresh",
        lag_ms=lag_ms,
        waiting_for=tuple(one.source for one in missing),
        missing=missing,
        silent_regions=silent_regions,
    )


def combined(watermarks: Sequence[Watermark]) -> Watermark:
    """Return the watermark of a view that joins several kinds: the lowest, and late when one is."""
    known = [one for one in watermarks if one.watermark_ms is not None]
    if not known:
        return Watermark(watermark_ms=None, freshness="no_data", lag_ms=None)
    return Watermark(
        watermark_ms=min(one.watermark_ms for one in known if one.watermark_ms is not None),
        freshness="late" if any(one.freshness == "late" for one in known) else "fresh",
        lag_ms=max(one.lag_ms for one in known if one.lag_ms is not None),
        waiting_for=tuple(source for one in known for source in one.waiting_for),
        missing=tuple(source for one in known for source in one.missing),
        silent_regions=tuple(region for one in known for region in one.silent_regions),
    )


def silent_sources(live: Iterable[SourceProgress], *, now_ms: int, policy: WatermarkPolicy) -> set[str]:
    """Return the live sources that are silent and sent rows before, which say what they served."""
    return {one.source for one in live if one.has_rows and now_ms - one.last_seen_ms > policy.silent_after_ms}


def live_sources(seen: Sequence[SourceProgress], *, now_ms: int, policy: WatermarkPolicy) -> list[SourceProgress]:
    """Return the sources that the watermark waits for: neither closed, nor replaced, nor abandoned."""
    unreplaced = _unreplaced(seen, now_ms=now_ms, policy=policy)
    present = [one for one in unreplaced if not _is_abandoned(one, now_ms=now_ms, policy=policy)]
    return present or unreplaced


def lost_gateways(seen: Sequence[SourceProgress], *, now_ms: int, policy: WatermarkPolicy) -> list[SourceProgress]:
    """Return the abandoned gateways of regions of which no other is left, while other regions have some.

    A watermark waits for them no more, but a step that they served is incomplete without them.
    """
    gateways = [one for one in _unreplaced(seen, now_ms=now_ms, policy=policy) if one.kind == "requests"]
    present = {one.region for one in gateways if not _is_abandoned(one, now_ms=now_ms, policy=policy)}
    return [one for one in gateways if one.has_rows and one.region not in present] if present else []


def _unreplaced(seen: Sequence[SourceProgress], *, now_ms: int, policy: WatermarkPolicy) -> list[SourceProgress]:
    open_ones = [one for one in seen if not one.is_closing]
    return [one for one in open_ones if not _is_replaced(one, seen, now_ms=now_ms, policy=policy)]


def _is_abandoned(one: SourceProgress, *, now_ms: int, policy: WatermarkPolicy) -> bool:
    return now_ms - one.last_seen_ms > policy.abandoned_after_ms


def _is_replaced(one: SourceProgress, seen: Sequence[SourceProgress], *, now_ms: int, policy: WatermarkPolicy) -> bool:
    silence_ms = now_ms - one.last_seen_ms
    # A source that merely pauses between two batches must not be dropped for a second gateway that starts meanwhile.
    patience_ms = policy.silent_after_ms if one.kind == "requests" else policy.replaced_after_ms
    return silence_ms > patience_ms and any(
        other.kind == one.kind and _log_of(other) == _log_of(one) and other.first_seen_ms > one.last_seen_ms
        for other in seen
    )


def _log_of(one: SourceProgress) -> tuple[str, str]:
    return (one.log_id, "") if one.log_id else ("", one.region)


def _missing(live: Iterable[SourceProgress], *, now_ms: int, policy: WatermarkPolicy) -> tuple[MissingSource, ...]:
    late = (one for one in live if _holds_up(one, now_ms=now_ms, policy=policy))
    return tuple(
        MissingSource(
            source=one.source,
            region=one.region,
            since_ms=one.closed_until_ms,
            ahead_ms=_ahead_ms(one, now_ms=now_ms, policy=policy),
        )
        for one in sorted(late, key=lambda one: one.source)
    )


def _ahead_ms(one: SourceProgress, *, now_ms: int, policy: WatermarkPolicy) -> int:
    ahead_ms = one.closed_until_ms - now_ms
    return ahead_ms if ahead_ms > policy.late_after_ms else 0


def _silent_regions(live: Iterable[SourceProgress], *, policy: WatermarkPolicy) -> tuple[SilentRegion, ...]:
    """Return the regions all of whose gateways are silent, while another region's are heard.

    If nothing is heard of any, the view is behind. Engines are lost by the host, not by the region.
    """
    of_region: defaultdict[str, list[SourceProgress]] = defaultdict(list)
    for one in live:
        if one.kind == "requests":
            of_region[one.region].append(one)
    heard_ms = {region: max(one.last_seen_ms for one in gateways) for region, gateways in of_region.items()}
    newest_ms = max(heard_ms.values(), default=0)
    return tuple(
        SilentRegion(region=region, since_ms=max(one.closed_until_ms for one in gateways))
        for region, gateways in sorted(of_region.items())
        if newest_ms - heard_ms[region] > policy.silent_after_ms
    )


def _holds_up(one: SourceProgress, *, now_ms: int, policy: WatermarkPolicy) -> bool:
    is_silent = now_ms - one.last_seen_ms > policy.silent_after_ms
    return is_silent or abs(now_ms - one.closed_until_ms) > policy.late_after_ms
