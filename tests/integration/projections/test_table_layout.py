import re

import pytest

from projections.store import ClickHouseStore
from projections.tables import Retention
from projections.views import PROJECTORS

TABLES = {table.name: table for projector in PROJECTORS for table in projector.tables}
_EXPIRY = re.compile(r" TTL (?P<expiry>.*?)(?: SETTINGS .*)?$")
_ENGINES = "SELECT name, engine_full FROM system.tables WHERE database = currentDatabase()"


async def expiries(store: ClickHouseStore) -> dict[str, str]:
    """Return when rows expire, of each table that has such a rule."""
    found = {row["name"]: _EXPIRY.search(row["engine_full"]) for row in await store.select(_ENGINES)}
    return {name: match["expiry"] for name, match in found.items() if match}


async def test_what_no_view_keeps_for_a_time_is_kept_forever(store: ClickHouseStore) -> None:
    kept_for_a_time = {name for name, table in TABLES.items() if table.retention}

    assert (await expiries(store)).keys() == kept_for_a_time


@pytest.mark.parametrize(
    ("name", "retention"), [(name, table.retention) for name, table in TABLES.items() if table.retention]
)
async def test_rows_expire_when_their_view_says(store: ClickHouseStore, name: str, retention: Retention) -> None:
    actual = (await expiries(store))[name]

    (times,) = await store.select(
        f"SELECT {retention.ttl} AS declared, {actual} AS actual "  # noqa: S608  our own expressions
        f"FROM (SELECT toInt64(1795000000000) AS {retention.since}, toInt32(11) AS retention_days)"
    )

    assert times["declared"] == times["actual"]


async def test_each_column_that_is_inserted_is_in_its_table(store: ClickHouseStore) -> None:
    rows = await store.select("SELECT table, name FROM system.columns WHERE database = currentDatabase()")
    there = {(row["table"], row["name"]) for row in rows}

    assert {(table.name, column) for table in TABLES.values() for column in table.columns.names} - there == set()
