"""The current watermarks of the sources: of all of them together, and of those that served an endpoint."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import TypeAlias

import msgspec

from projections.reading import Reader
from projections.watermarks.watermark import (
    SourceProgress,
    WatermarkPolicy,
    live_sources,
    silent_sources,
    watermark_of,
)
from schemas.measurement import Watermark
from schemas.observations import SourceKind

Marks: TypeAlias = Mapping[SourceKind, Watermark]


class Scope(msgspec.Struct, frozen=True):
    """An endpoint, and the regions whose sources are not waited for."""

    endpoint_id: str
    excused: tuple[str, ...] = ()


# Sources of long ago take no part: they would be read, and compared, forever.
_SOURCES = """
    SELECT kind, source, region, closed_until_ms, is_closing, first_seen_ms, last_seen_ms, rows > 0 AS has_rows
    FROM sources FINAL
    WHERE kind IN {kinds:Array(String)} AND last_seen_ms > {since_ms:Int64}
"""
_REMEMBERED_MS = 24 * 60 * 60 * 1000
# The hour before a source went silent, which counts for a quarter of an hour more.
_SERVED_WITHIN_MS = 75 * 60 * 1000
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


async def watermarks(reader: Reader, kinds: Sequence[SourceKind]) -> Marks:
    """Return the watermark of each kind of source, over all endpoints."""
    now_ms = reader.now_ms()
    sources = await _sources(reader, kinds, now_ms=now_ms)
    return {kind: watermark_of(sources[kind], now_ms=now_ms, policy=_POLICY) for kind in kinds}


async def endpoint_watermarks(
    reader: Reader, kinds: Sequence[SourceKind], *, workspace: str, scopes: Collection[Scope]
) -> Mapping[Scope, Marks]:
    """Return the watermarks of each endpoint: a host that is lost makes late only what it served."""
    now_ms = reader.now_ms()
    sources = await _sources(reader, kinds, now_ms=now_ms)
    marks: dict[Scope, dict[SourceKind, Watermark]] = {scope: {} for scope in scopes}
    for kind in kinds:
        live = live_sources(sources[kind], now_ms=now_ms, policy=_POLICY)
        silent = silent_sources(live, now_ms=now_ms, policy=_POLICY)
        if not silent:
            shared = {
                excused: watermark_of(sources[kind], now_ms=now_ms, policy=_POLICY, excused=excused)
                for excused in {scope.excused for scope in scopes}
            }
            for scope, own in marks.items():
                own[kind] = shared[scope.excused]
            continue
        parameters = {
            "workspace": workspace,
            "endpoint_ids": sorted({scope.endpoint_id for scope in scopes}),
            "sources": sorted(silent),
            "since_ms": now_ms - _SERVED_WITHIN_MS,
        }
        served = _by_endpoint(await reader.select(_SERVED[kind], parameters))
        for scope, own in marks.items():
            served_by = served.get(scope.endpoint_id, frozenset())
            own[kind] = watermark_of(
                sources[kind], now_ms=now_ms, policy=_POLICY, served_by=served_by, excused=scope.excused
            )
    return marks


async def endpoint_watermark(reader: Reader, kinds: Sequence[SourceKind], *, workspace: str, endpoint_id: str) -> Marks:
    """Return the watermarks of one endpoint."""
    scope = Scope(endpoint_id)
    return (await endpoint_watermarks(reader, kinds, workspace=workspace, scopes=(scope,)))[scope]


async def _sources(
    reader: Reader, kinds: Sequence[SourceKind], *, now_ms: int
) -> Mapping[SourceKind, list[SourceProgress]]:
    rows = await reader.select(_SOURCES, {"kinds": list(kinds), "since_ms": now_ms - _REMEMBERED_MS})
    flags = ("is_closing", "has_rows")
    found = [SourceProgress(**(row | {flag: bool(row[flag]) for flag in flags})) for row in rows]
    return {kind: [source for source in found if source.kind == kind] for kind in kinds}


def _by_endpoint(rows: Sequence[Mapping[str, str]]) -> Mapping[str, Collection[str]]:
    served: defaultdict[str, set[str]] = defaultdict(set)
    for row in rows:
        served[row["endpoint_id"]].add(row["source"])
    return served
