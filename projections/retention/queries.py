"""What each table of the views holds, and for how long."""

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
import pyarrow as pa

from projections.reading import Reader
from projections.retention.expiry import days_kept
from projections.tables import Table
from schemas.envelope import rfc3339

# Of partitioned tables, ClickHouse knows the bounds without reading rows.
_STORED = """
    SELECT name, comment, assumeNotNull(total_rows) AS rows, assumeNotNull(total_bytes) AS bytes FROM system.tables
    WHERE database = currentDatabase() AND name IN %(names)s
"""


class KeptTable(msgspec.Struct, frozen=True, kw_only=True):
    """What a table holds, of all workspaces together, and how long it keeps a row.

    `rows` and `bytes` are as stored: a row that was shipped twice may count twice until ClickHouse merges the two.
    `retention_days` counts from the time that `oldest_at` and `newest_at` are of. It is null where rows are kept
    forever, and where each row has a number of days of its own, in the column `retention_column`.
    """

    table: str
    purpose: str
    rows: int
    bytes: int
    retention_days: int | None
    retention_column: str | None
    oldest_at: str | None
    newest_at: str | None


class KeptTables(msgspec.Struct, frozen=True, kw_only=True):
    """The tables in the order of their names."""

    items: list[KeptTable]


async def list_tables(reader: Reader, tables: Sequence[Table]) -> KeptTables:
    """Return what is stored.

    Raises:
        ViewUnavailable: ClickHouse is away, or has not been migrated yet.
    """
    names = tuple(table.name for table in tables)
    stored, days, bounds = await asyncio.gather(
        reader.select(_STORED, {"names": names}), days_kept(reader, tables), reader.select(_bounds_of(tables))
    )
    by_name: dict[str, dict[str, Any]] = {row["name"]: row for row in stored}
    between = {row["name"]: (row["oldest_ms"], row["newest_ms"]) for row in bounds if row["newest_ms"]}
    return KeptTables(
        items=[
            _kept(table, by_name[table.name], days=days.get(table.name), bounds=between.get(table.name))
            for table in sorted(tables, key=lambda table: table.name)
        ]
    )


def _bounds_of(tables: Sequence[Table]) -> str:
    return " UNION ALL ".join(
        f"SELECT '{table.name}' AS name, {_ms(table, 'min')} AS oldest_ms, {_ms(table, 'max')} AS newest_ms "  # noqa: S608  our own names
        f"FROM {table.name}"
        for table in tables
        if table.time_column is not None
    )


def _ms(table: Table, bound: str) -> str:
    found = f"{bound}({table.time_column})"
    is_timestamp = pa.types.is_timestamp(table.columns.field(table.time_column).type)
    return f"toUnixTimestamp64Milli({found})" if is_timestamp else f"toInt64({found})"


def _kept(table: Table, row: dict[str, Any], *, days: int | None, bounds: tuple[int, int] | None) -> KeptTable:
    oldest_at, newest_at = (rfc3339(ms) for ms in bounds) if bounds else (None, None)
    return KeptTable(
        table=table.name,
        purpose=row["comment"],
        rows=row["rows"],
        bytes=row["bytes"],
        retention_days=days,
        retention_column=table.retention.days_column if table.retention else None,
        oldest_at=oldest_at,
        newest_at=newest_at,
    )
