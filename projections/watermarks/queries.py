"""The current watermarks of the sources."""

from projections.reading import Reader
from projections.watermarks.watermark import SourceProgress, Watermark, WatermarkPolicy, watermark_of
from schemas.observations import SourceKind

# Sources of long ago take no part: they would be read, and compared, forever.
_SOURCES = """
    SELECT kind, source, region, closed_until_ms, is_closing, first_seen_ms, last_seen_ms
    FROM sources FINAL
    WHERE kind IN {kinds:Array(String)} AND last_seen_ms > {since_ms:Int64}
"""
_REMEMBERED_MS = 24 * 60 * 60 * 1000


async def watermarks(
    reader: Reader, kinds: tuple[SourceKind, ...], *, policy: WatermarkPolicy | None = None
) -> dict[SourceKind, Watermark]:
    """Return the watermark of each kind of source."""
    now_ms = reader.now_ms()
    rows = await reader.select(_SOURCES, {"kinds": list(kinds), "since_ms": now_ms - _REMEMBERED_MS})
    sources = [SourceProgress(**(row | {"is_closing": bool(row["is_closing"])})) for row in rows]
    return {
        kind: watermark_of(
            (source for source in sources if source.kind == kind), now_ms=now_ms, policy=policy or WatermarkPolicy()
        )
        for kind in kinds
    }
