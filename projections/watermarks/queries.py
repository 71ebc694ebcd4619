"""The current watermarks of the sources: of all of them together, and of those that served an endpoint."""

from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from typing import TypeAlias, TypeVar

import msgspec

from projections.reading import Reader
from projections.watermarks.watermark import (
    SourceProgress,
    WatermarkPolicy,
    live_sources,
    lost_gateways,
    silent_sources,
    watermark_of,
)
from schemas.measurement import Watermark
from schemas.observations import SourceKind

Key = TypeVar("Key", bound=Hashable)
Marks: TypeAlias = Mapping[SourceKind, Watermark]


class Scope(msgspec.Struct, frozen=True):
    """An endpoint, the regions whose sources are not waited for, and the epoch that is asked about, if it is one."""

    endpoint_id: str
    excused: tuple[str, ...] = ()
    epoch: int | None = None


# Sources of long ago take no part: they would be read, and compared, forever. The last gateways of a region do, for as
# long as a step may take: it may have been served there.
_SOURCES = """
    SELECT kind, source, region, log_id, closed_until_ms, is_closing, first_seen_ms, last_seen_ms,
           rows > 0 AS has_rows
    FROM (
        SELECT *, max(last_seen_ms) OVER (PARTITION BY kind, region) AS heard_ms
        FROM sources FINAL WHERE kind IN {kinds:Array(String)}
    )
    WHERE last_seen_ms > {since_ms:Int64}
       OR (kind = 'requests' AND last_seen_ms > {lost_since_ms:Int64} AND last_seen_ms > heard_ms - {hour_ms:Int64})
"""
_HOUR_MS = 60 * 60 * 1000
_REMEMBERED_MS = 24 * _HOUR_MS
_LOST_REMEMBERED_MS = 90 * 24 * _HOUR_MS
# The hour before a source went silent, which counts for a quarter of an hour more.
_SERVED_WITHIN_MS = _HOUR_MS + 15 * 60 * 1000
_POLICY = WatermarkPolicy()


def _served(table: str, *, time: str) -> str:
    """Select which of the sources served which of the endpoints, by the rows that came from them."""
    return f"""
        SELECT DISTINCT endpoint_id, source FROM {table}
        WHERE workspace = {{workspace:String}} AND endpoint_id IN {{endpoint_ids:Array(String)}}
          AND source IN {{sources:Array(String)}} AND {time} > {{since_ms:Int64}}
    """  # noqa: S608  our own names


_SERVED: Mapping[SourceKind, str] = {
    "requests": _served("request_records", time="ended_at_ms"),
    "observations": _served("observation_records", time="captured_at_ms"),
}


# By the gateways' clocks. A batch may hold records of a little after the time up to which it is complete.
_SERVED_EPOCH = """
    SELECT DISTINCT endpoint_id, epoch, source FROM request_records
    WHERE workspace = {workspace:String} AND endpoint_id IN {endpoint_ids:Array(String)}
      AND epoch IN {epochs:Array(Int64)} AND source IN {sources:Array(String)}
      AND ended_at_ms BETWEEN {since_ms:Int64} AND {until_ms:Int64}
"""
_MINUTE_MS = 60 * 1000


async def watermarks(reader: Reader, kinds: Sequence[SourceKind]) -> Marks:
    """Return the watermark of each kind of source, over all endpoints."""
    now_ms = reader.now_ms()
    sources = await _sources(reader, kinds, now_ms=now_ms)
    return {kind: watermark_of(sources[kind], now_ms=now_ms, policy=_POLICY) for kind in kinds}


async def endpoint_watermarks(
    reader: Reader, kinds: Sequence[SourceKind], *, workspace: str, scopes: Collection[Scope]
) -> Mapping[Scope, Marks]:
    """Return the watermarks of each endpoint: a host that is lost makes late only what it served."""
    return (await endpoint_watermarks_and_gateways(reader, kinds, workspace=workspace, scopes=scopes))[0]


async def endpoint_watermarks_and_gateways(
    reader: Reader, kinds: Sequence[SourceKind], *, workspace: str, scopes: Collection[Scope]
) -> tuple[Mapping[Scope, Marks], tuple[str, ...]]:
    """Return the watermarks of each endpoint, and the logs of the gateways that are waited for.

    Those of excused regions are among them.
    """
    now_ms = reader.now_ms()
    sources = await _sources(reader, kinds, now_ms=now_ms)
    asked = _Asked(reader, workspace=workspace, scopes=scopes)
    lost = await asked.served_epoch(lost_gateways(sources.get("requests", ()), now_ms=now_ms, policy=_POLICY))
    marks: dict[Scope, dict[SourceKind, Watermark]] = {scope: {} for scope in scopes}
    for kind in kinds:
        live = live_sources(sources[kind], now_ms=now_ms, policy=_POLICY)
        silent = silent_sources(live, now_ms=now_ms, policy=_POLICY)
        served = await asked.served_endpoint(kind, silent, now_ms=now_ms) if silent else None
        # Nearly all endpoints have the same.
        known: dict[Hashable, Watermark] = {}
        for scope, own in marks.items():
            served_by = None if served is None else served[scope.endpoint_id]
            lost_by = lost[scope.endpoint_id, scope.epoch]
            key = (served_by, lost_by, scope.excused)
            if key not in known:
                known[key] = watermark_of(
                    sources[kind],
                    now_ms=now_ms,
                    policy=_POLICY,
                    served_by=served_by,
                    lost=lost_by,
                    excused=scope.excused,
                )
            own[kind] = known[key]
    gateways = live_sources(sources.get("requests", ()), now_ms=now_ms, policy=_POLICY)
    return marks, tuple(sorted({one.log_id for one in gateways if one.log_id}))


async def endpoint_watermark(reader: Reader, kinds: Sequence[SourceKind], *, workspace: str, endpoint_id: str) -> Marks:
    """Return the watermarks of one endpoint."""
    scope = Scope(endpoint_id)
    return (await endpoint_watermarks(reader, kinds, workspace=workspace, scopes=(scope,)))[scope]


class _Asked:
    """What is asked of the records: which sources served the endpoints of these scopes."""

    def __init__(self, reader: Reader, *, workspace: str, scopes: Collection[Scope]) -> None:
        self._reader = reader
        self._epochs = sorted({scope.epoch for scope in scopes if scope.epoch is not None})
        self._parameters = {
            "workspace": workspace,
            "endpoint_ids": sorted({scope.endpoint_id for scope in scopes}),
        }

    async def served_endpoint(
        self, kind: SourceKind, silent: Collection[str], *, now_ms: int
    ) -> Mapping[str, frozenset[str]]:
        """Return which of the silent sources served each endpoint before."""
        bound = {"sources": sorted(silent), "since_ms": now_ms - _SERVED_WITHIN_MS}
        rows = await self._reader.select(_SERVED[kind], self._parameters | bound)
        return _collected((row["endpoint_id"], row["source"]) for row in rows)

    async def served_epoch(self, lost: Sequence[SourceProgress]) -> Mapping[tuple[str, int | None], frozenset[str]]:
        """Return which of the lost gateways served each epoch in the hour before."""
        if not lost or not self._epochs:
            return _collected(())
        closed = [one.closed_until_ms for one in lost]
        bound = {
            "epochs": self._epochs,
            "sources": sorted(one.source for one in lost),
            "since_ms": min(closed) - _HOUR_MS,
            "until_ms": max(closed) + _MINUTE_MS,
        }
        rows = await self._reader.select(_SERVED_EPOCH, self._parameters | bound)
        return _collected(((row["endpoint_id"], row["epoch"]), row["source"]) for row in rows)


async def _sources(
    reader: Reader, kinds: Sequence[SourceKind], *, now_ms: int
) -> Mapping[SourceKind, list[SourceProgress]]:
    bound = {
        "kinds": list(kinds),
        "since_ms": now_ms - _REMEMBERED_MS,
        "lost_since_ms": now_ms - _LOST_REMEMBERED_MS,
        "hour_ms": _HOUR_MS,
    }
    rows = await reader.select(_SOURCES, bound)
    flags = ("is_closing", "has_rows")
    found = [SourceProgress(**(row | {flag: bool(row[flag]) for flag in flags})) for row in rows]
    return {kind: [source for source in found if source.kind == kind] for kind in kinds}


def _collected(pairs: Iterable[tuple[Key, str]]) -> defaultdict[Key, frozenset[str]]:
    found: defaultdict[Key, frozenset[str]] = defaultdict(frozenset)
    for key, source in pairs:
        found[key] |= {source}
    return found
