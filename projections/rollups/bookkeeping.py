"""Which spans are due: those of which more has arrived than they were made of. There is no other list of them."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec
import pyarrow as pa

from projections.rollups.spans import MINUTE_MS, Kind
from projections.store import ClickHouseStore

_DUE_MINUTES = f"""
    SELECT minute_ms AS start_ms, arrived, made_from FROM (
        SELECT minute_ms, sum(rows) AS arrived FROM rollup_arrivals
        WHERE kind = {{kind:String}} AND minute_ms >= {{from_ms:Int64}} AND minute_ms < {{until_ms:Int64}}
        GROUP BY minute_ms
    ) AS arrivals
    LEFT JOIN (
        SELECT start_ms, max(from_rows) AS made_from FROM rollup_spans
        WHERE kind = {{kind:String}} AND span_ms = {MINUTE_MS}
          AND start_ms >= {{from_ms:Int64}} AND start_ms < {{until_ms:Int64}}
        GROUP BY start_ms
    ) AS made ON made.start_ms = arrivals.minute_ms
    WHERE arrived != made_from ORDER BY start_ms
"""  # noqa: S608  a number of ours
_DUE_SPANS = """
    SELECT parts.start_ms AS start_ms, arrived, made_from FROM (
        SELECT intDiv(part_start_ms, {span_ms:Int64}) * {span_ms:Int64} AS start_ms, sum(rows) AS arrived FROM (
            SELECT start_ms AS part_start_ms, max(from_rows) AS rows FROM rollup_spans
            WHERE kind = {kind:String} AND span_ms = {part_ms:UInt32}
              AND start_ms >= {from_ms:Int64} AND start_ms < {until_ms:Int64}
            GROUP BY part_start_ms
        ) GROUP BY start_ms
    ) AS parts
    LEFT JOIN (
        SELECT start_ms, max(from_rows) AS made_from FROM rollup_spans
        WHERE kind = {kind:String} AND span_ms = {span_ms:UInt32}
          AND start_ms >= {from_ms:Int64} AND start_ms < {until_ms:Int64}
        GROUP BY start_ms
    ) AS made ON made.start_ms = parts.start_ms
    WHERE arrived != made_from ORDER BY start_ms
"""
_PROGRESS = (
    "SELECT max(until_ms) AS until_ms FROM rollup_progress WHERE kind = {kind:String} AND span_ms = {span_ms:UInt32}"
)
_SPANS = pa.schema(
    [("kind", pa.string()), ("span_ms", pa.uint32()), ("start_ms", pa.int64()), ("from_rows", pa.uint64())]
)
_PROGRESSES = pa.schema([("kind", pa.string()), ("span_ms", pa.uint32()), ("until_ms", pa.int64())])


class Due(msgspec.Struct, frozen=True, kw_only=True):
    """A span that is to be rolled up, and how much has arrived of it by now."""

    start_ms: int
    arrived: int


class Bookkeeping:
    """What is rolled up, in ClickHouse. All times are Unix ms, and every period is without its end."""

    def __init__(self, store: ClickHouseStore) -> None:
        self._store = store

    async def due_minutes(self, kind: Kind, *, from_ms: int, until_ms: int) -> list[Due]:
        """Return minutes of which more has arrived, or which were never rolled up, in the order of time."""
        return await self._due(_DUE_MINUTES, {"kind": kind, "from_ms": from_ms, "until_ms": until_ms})

    async def due_spans(self, kind: Kind, *, span_ms: int, part_ms: int, from_ms: int, until_ms: int) -> list[Due]:
        """Return longer spans whose parts were rolled up since."""
        return await self._due(
            _DUE_SPANS,
            {"kind": kind, "span_ms": span_ms, "part_ms": part_ms, "from_ms": from_ms, "until_ms": until_ms},
        )

    async def until(self, kind: Kind, span_ms: int) -> int:
        """Return up to when spans of a length are rolled up, 0 at first."""
        rows = await self._store.select(_PROGRESS, {"kind": kind, "span_ms": span_ms})
        return int(rows[0]["until_ms"])

    async def write_spans(self, kind: Kind, span_ms: int, made: Iterable[Due]) -> None:
        """Write that spans are rolled up: after their roll-ups are stored."""
        rows = [{"kind": kind, "span_ms": span_ms, "start_ms": one.start_ms, "from_rows": one.arrived} for one in made]
        await self._insert("rollup_spans", rows, _SPANS)

    async def write_until(self, kind: Kind, span_ms: int, until_ms: int) -> None:
        """Write up to when all spans are rolled up."""
        await self._insert("rollup_progress", [{"kind": kind, "span_ms": span_ms, "until_ms": until_ms}], _PROGRESSES)

    async def _due(self, sql: str, parameters: Mapping[str, object]) -> list[Due]:
        rows = await self._store.select(sql, parameters)
        return [Due(start_ms=row["start_ms"], arrived=row["arrived"]) for row in rows]

    async def _insert(self, table: str, rows: Sequence[Mapping[str, object]], columns: pa.Schema) -> None:
        block = pa.Table.from_pylist(list(rows), schema=columns)
        await self._store.run(lambda client: client.insert_arrow(table, block))
