"""Row policies of ClickHouse, which keep the rows of other workspaces from people's statements.

ClickHouse applies them while it reads, before any condition of the statement. All run as one user, so a statement is
told by its `log_comment`, which read-only mode does not let it change. What has no such comment sees every row.
"""

from collections.abc import Mapping
from functools import partial

import structlog

from projections.errors import StoreRefusedError, StoreUnavailableError
from projections.retries import Backoff, retry_until_done
from projections.store import ClickHouseStore
from projections.tables import REBUILT

_MARK = "rollbook:workspace="
_IS_MARKED = f"startsWith(getSetting('log_comment'), '{_MARK}')"
_OWN_ROWS = f"NOT {_IS_MARKED} OR workspace = substring(getSetting('log_comment'), {len(_MARK) + 1})"
_NO_ROWS = f"NOT {_IS_MARKED}"
# Only tables of this family read through a row policy before anything else. A function of a LowCardinality column runs
# on the dictionary, which has the values of hidden rows too, so a table that has one counts as unprotected.
_TABLES = """
SELECT table, max(name = 'workspace') AS has_workspace, max(type LIKE '%LowCardinality%') AS has_dictionary
FROM system.columns
WHERE database = currentDatabase() AND match(table, '^[A-Za-z_][A-Za-z0-9_]*$') AND table IN (
    SELECT name FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree'
) GROUP BY table HAVING NOT (has_workspace AND has_dictionary) ORDER BY table
"""
_UNPROTECTED = f"""
SELECT name FROM system.tables WHERE database = currentDatabase() AND name NOT IN (
    SELECT table FROM system.row_policies
    WHERE database = currentDatabase() AND position(select_filter, '{_MARK}') > 0
)
"""  # noqa: S608  our own mark
# Access denied, and users or policies that are kept where nothing can be written.
_NOT_ALLOWED = frozenset({495, 497, 514})
_log = structlog.get_logger(__name__)


def marked(workspace: str) -> Mapping[str, str]:
    """Return the settings under which a statement sees the rows of one workspace."""
    return {"log_comment": f"{_MARK}{workspace}"}


async def separate_workspaces(store: ClickHouseStore) -> None:
    """Give every table its policy, also under the name that a rebuild gives it. Nothing changes when it has one.

    Where Rollbook's user may not create policies, people's SQL is refused and all else works.
    """
    tables = await retry_until_done(
        partial(store.select, _TABLES), what="list_tables", passing=StoreUnavailableError, backoff=Backoff()
    )
    for statement in _statements({row["table"]: row["has_workspace"] for row in tables}):
        action = partial(store.command, statement)
        try:
            await retry_until_done(action, what="create_row_policies", passing=StoreUnavailableError, backoff=Backoff())
        except StoreRefusedError as error:
            if error.store_code not in _NOT_ALLOWED:
                raise
            _log.warning("row_policies_not_created", effect="SQL of users is refused", reason=str(error))
            return


async def unprotected_tables(store: ClickHouseStore) -> set[str] | None:
    """Return the tables in which a marked statement might see foreign rows; None where we may not know."""
    try:
        return {row["name"] for row in await store.select(_UNPROTECTED)}
    except StoreRefusedError as error:
        if error.store_code not in _NOT_ALLOWED:
            raise
        return None


def _statements(tables: Mapping[str, bool]) -> list[str]:
    live = [name for name in tables if not name.endswith(REBUILT)]
    return [
        _policy([name for name in live if tables[name]], _OWN_ROWS),
        _policy([name for name in live if not tables[name]], _NO_ROWS),
    ]


def _policy(tables: list[str], condition: str) -> str:
    names = ", ".join(f"{name}{ending}" for name in tables for ending in ("", REBUILT))
    # Restrictive, so that no other policy on the table can show more.
    return f"CREATE ROW POLICY OR REPLACE rollbook_workspace ON {names} AS RESTRICTIVE USING {condition} TO ALL"
