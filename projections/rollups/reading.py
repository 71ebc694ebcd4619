"""What happened, from the roll-ups and, since the last of them, from the rows: each moment is in one of the two."""

from collections.abc import Sequence
from typing import Any

import msgspec

from projections.reading import Reader
from projections.rollups.spans import DAY_MS, HOUR_MS, KINDS, MINUTE_MS
from projections.rollups.statements import Chosen, Rollup

_PROGRESS = "SELECT kind, span_ms, max(until_ms) AS until_ms FROM rollup_progress GROUP BY kind, span_ms"
_SPANS = (DAY_MS, HOUR_MS, MINUTE_MS)
_OF_WORKSPACE = "workspace = {workspace:String}"
_OF_ENDPOINT = "endpoint_id = {endpoint_id:String}"
_OF_ENDPOINTS = "endpoint_id IN {endpoint_ids:Array(String)}"
_OF_EPOCHS = "(endpoint_id, epoch) IN arrayZip({endpoint_ids:Array(String)}, {epochs:Array(Int64)})"
# 2100-01-01: no row is later.
_EVER_MS = "4102444800000"


async def rolled_up(reader: Reader) -> dict[str, Any]:
    """Return up to when spans are rolled up, as parameters of what follows. Read it before what is read by it."""
    rows = await reader.select(_PROGRESS)
    until = {(row["kind"], row["span_ms"]): row["until_ms"] for row in rows}
    return {f"{kind}_until_{span_ms}": until.get((kind, span_ms), 0) for kind in KINDS for span_ms in _SPANS}


def of_epochs(rollup: Rollup) -> str:
    """Return a subquery for the spans and rows up to `watermark_ms` of `epochs`, each of one of `endpoint_ids`."""
    until_ms = "({watermark_ms:Int64} + 1)"
    scope = {"of_workspace": _OF_WORKSPACE, "of_endpoint": _OF_ENDPOINTS, "of_epoch": _OF_EPOCHS}
    return _joined(rollup, Chosen(from_ms="0", until_ms=until_ms, **scope), spans=_SPANS)


def since(rollup: Rollup, *, bucket_ms: int) -> str:
    """Return a subquery for the spans and rows of an endpoint since `since_ms`, of which none is in two buckets.

    `since_ms` is the beginning of a bucket. Buckets that are not whole minutes are made of rows alone.
    """
    spans = [span_ms for span_ms in _SPANS if bucket_ms % span_ms == 0]
    scope = {"of_workspace": _OF_WORKSPACE, "of_endpoint": _OF_ENDPOINT}
    chosen = Chosen(
        from_ms="{since_ms:Int64}",
        until_ms=_EVER_MS,
        span_ms=str(MINUTE_MS) if spans else "{bucket_ms:Int64}",
        **scope,
    )
    return _joined(rollup, chosen, spans=spans)


def _joined(rollup: Rollup, chosen: Chosen, *, spans: Sequence[int]) -> str:
    from_ms, stored = chosen.from_ms, ["0"]
    for span_ms in spans:
        until_ms = f"{{{rollup.kind}_until_{span_ms}:Int64}}"
        stored.append(f"(span_ms = {span_ms} AND start_ms >= {from_ms} AND start_ms < {until_ms})")
        from_ms = f"greatest({chosen.from_ms}, {until_ms})"
    return f"""(
        SELECT {rollup.columns} FROM {rollup.table.name} FINAL
        WHERE {chosen.of_workspace} AND {chosen.of_endpoint} AND {chosen.of_epoch} AND ({" OR ".join(stored)})
        UNION ALL
        SELECT {rollup.columns} FROM ({rollup.from_rows(msgspec.structs.replace(chosen, from_ms=from_ms))})
    )"""  # noqa: S608  our own names and numbers
