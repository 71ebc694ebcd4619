"""How long tables keep rows: read from ClickHouse, and brought to what the settings say."""

import re
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, Protocol

import structlog

from projections.errors import StoreUnavailableError
from projections.retries import Backoff, retry_until_done
from projections.store import ClickHouseStore
from projections.tables import Table

_ENGINES = "SELECT name, engine_full FROM system.tables WHERE database = currentDatabase()"
_EXPIRY = re.compile(r" TTL (?P<expiry>.*?)(?: SETTINGS .*)?\Z")
_DAY_S = 86_400

_log = structlog.get_logger(__name__)


class Selects(Protocol):
    """Reads from ClickHouse."""

    async def select(self, sql: str) -> list[dict[str, Any]]:
        """Return the rows of a query."""
        ...


async def expiries(store: Selects) -> dict[str, str]:
    """Return the time after which a row is deleted, as an expression, of each table that has one."""
    found = {row["name"]: _EXPIRY.search(row["engine_full"]) for row in await store.select(_ENGINES)}
    return {name: match["expiry"] for name, match in found.items() if match}


async def days_kept(store: Selects, tables: Iterable[Table]) -> dict[str, int]:
    """Return for how many days each table that exists and has one number of days for all of its rows keeps them."""
    known = await expiries(store)
    asked = [
        f"SELECT '{table.name}' AS name, intDiv(toUInt32({known[table.name]}), {_DAY_S}) AS days "  # noqa: S608  our own names
        f"FROM (SELECT toInt64(0) AS {table.time_column})"
        for table in tables
        if table.has_retention_setting and table.name in known
    ]
    rows = await store.select(" UNION ALL ".join(asked)) if asked else []
    return {row["name"]: int(row["days"]) for row in rows}


async def keep_rows(store: ClickHouseStore, tables: Iterable[Table], days: Mapping[str, int]) -> list[str]:
    """Let tables keep rows for so many days, waiting for ClickHouse while it is away; return those that changed."""
    action = partial(_keep_rows, store, list(tables), days)
    return await retry_until_done(action, what="set_retention", passing=StoreUnavailableError, backoff=Backoff())


async def _keep_rows(store: ClickHouseStore, tables: list[Table], days: Mapping[str, int]) -> list[str]:
    kept = await days_kept(store, tables)
    changed = [table for table in tables if table.name in kept and kept[table.name] != days[table.name]]
    for table in changed:
        wanted, before = days[table.name], kept[table.name]
        # Rows that are there get the other time too, but only that is computed again: they are not rewritten.
        await store.command(f"ALTER TABLE {table.name} MODIFY SETTING materialize_ttl_recalculate_only = 1")
        await store.command(f"ALTER TABLE {table.name} MODIFY TTL {table.expiry(wanted)}")
        say = _log.warning if wanted < before else _log.info
        say("retention_changed", table=table.name, days=wanted, before=before)
    return [table.name for table in changed]
