import pytest

from projections.retention.expiry import days_kept, expiries
from projections.store import ClickHouseStore
from projections.tables import Table
from projections.views import TABLES


async def test_what_no_view_keeps_for_a_time_is_kept_forever(store: ClickHouseStore) -> None:
    kept_for_a_time = {table.name for table in TABLES if table.retention}

    assert (await expiries(store)).keys() == kept_for_a_time


async def test_rows_expire_when_their_view_says(store: ClickHouseStore) -> None:
    declared = {table.name: table.retention.days for table in TABLES if table.retention and table.has_retention_setting}

    assert await days_kept(store, TABLES) == declared


@pytest.mark.parametrize("table", [table for table in TABLES if table.retention and table.retention.days_column])
async def test_rows_with_days_of_their_own_expire_by_them(store: ClickHouseStore, table: Table) -> None:
    assert table.retention is not None
    actual = (await expiries(store))[table.name]

    (times,) = await store.select(
        f"SELECT {table.expiry(table.retention.days_column or '')} AS declared, {actual} AS actual "  # noqa: S608  our own expressions
        f"FROM (SELECT toInt64(1795000000000) AS {table.time_column}, toInt32(11) AS {table.retention.days_column})"
    )

    assert times["declared"] == times["actual"]


async def test_each_column_that_is_inserted_is_in_its_table(store: ClickHouseStore) -> None:
    rows = await store.select("SELECT table, name FROM system.columns WHERE database = currentDatabase()")
    there = {(row["table"], row["name"]) for row in rows}

    assert {(table.name, column) for table in TABLES for column in table.columns.names} - there == set()
