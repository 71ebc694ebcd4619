"""What happened in one epoch, from the roll-ups and, since the last of them, from the rows."""

from typing import Any

from projections.reading import Reader
from projections.rollups.spans import DAY_MS, HOUR_MS, MINUTE_MS, Kind
from projections.rollups.statements import Chosen, Rollup

_PROGRESS = """
    SELECT kind, span_ms, max(until_ms) AS until_ms FROM rollup_progress GROUP BY kind, span_ms
"""
_OF_WORKSPACE = "workspace = {workspace:String}"
_OF_ENDPOINT = "endpoint_id = {endpoint_id:String}"
_OF_EPOCH = "epoch = {epoch:Int64}"


async def rolled_up(reader: Reader) -> dict[str, Any]:
    """Return up to when spans are rolled up, as parameters of `of_epoch`. Read it before what is read by it."""
    rows = await reader.select(_PROGRESS)
    until = {(row["kind"], row["span_ms"]): row["until_ms"] for row in rows}
    kinds: tuple[Kind, ...] = ("requests", "predictions")
    return {
        _until(kind, span_ms): until.get((kind, span_ms), 0)
        for kind in kinds
        for span_ms in (MINUTE_MS, HOUR_MS, DAY_MS)
    }


def of_epoch(rollup: Rollup) -> str:
    """Return a subquery for spans and rows of an epoch up to `watermark_ms`: each moment is in one of them."""
    days, hours, minutes = (f"{{{_until(rollup.kind, span_ms)}:Int64}}" for span_ms in (DAY_MS, HOUR_MS, MINUTE_MS))
    young = rollup.minutes(
        Chosen(
            from_ms=minutes,
            until_ms="({watermark_ms:Int64} + 1)",
            of_workspace=_OF_WORKSPACE,
            of_endpoint=_OF_ENDPOINT,
            of_epoch=_OF_EPOCH,
        )
    )
    return f"""(
        SELECT {rollup.columns} FROM {rollup.table.name} FINAL
        WHERE {_OF_WORKSPACE} AND {_OF_ENDPOINT} AND {_OF_EPOCH} AND (
            (span_ms = {DAY_MS} AND start_ms < {days})
            OR (span_ms = {HOUR_MS} AND start_ms >= {days} AND start_ms < {hours})
            OR (span_ms = {MINUTE_MS} AND start_ms >= {hours} AND start_ms < {minutes})
        )
        UNION ALL
        SELECT {rollup.columns} FROM ({young})
    )"""  # noqa: S608  our own names and numbers


def _until(kind: Kind, span_ms: int) -> str:
    return f"{kind}_until_{span_ms}"
