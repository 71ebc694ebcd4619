"""Keeps the SQL of callers within the rows of their workspace, whoever they are.

Row policies hide the rows of other workspaces. What they do not reach, other databases, tables without a policy and
functions that make tables, is refused by the statement's syntax tree as ClickHouse itself parses it.
"""

import re
from collections.abc import Mapping
from typing import Any

from projections.errors import BadQuery, SqlUnprotected
from projections.query.row_policies import marked, unprotected_tables
from projections.store import ClickHouseStore

_KINDS = {"SelectWithUnionQuery", "SelectIntersectExceptQuery", "DescribeQuery", "ShowTables"}
_NODE = re.compile(r"^ *(?P<kind>TableIdentifier|Identifier|Function)(?: (?P<name>.*))?\Z")
_DATABASE = re.compile(r"^(?P<database>[^. ]+)\.")
# Functions that make tables out of nothing but their arguments, and one that is also an ordinary function.
_HARMLESS = frozenset(
    {"numbers", "numbers_mt", "zeros", "zeros_mt", "generateseries", "generate_series", "values", "view", "format"}
)
_OTHERS = "SELECT lower(name) AS name, name = currentDatabase() AS is_ours FROM system.databases"
_MAKERS = "SELECT lower(name) AS name FROM system.table_functions"


async def confined(
    store: ClickHouseStore, sql: str, parameters: Mapping[str, Any], *, workspace: str
) -> Mapping[str, str]:
    """Return the settings under which a statement sees one workspace only.

    A table that does not say whose its rows are is empty for callers.

    Raises:
        BadQuery: the statement reaches beyond the views.
        SqlUnprotected: it reads a table that has no row policy.
        StoreRefusedError: ClickHouse cannot parse it.
    """
    settings = marked(workspace)

    def parse(client: Any) -> bytes:  # noqa: ANN401  the client is typed where it is made
        return bytes(
            client.raw_query(f"EXPLAIN AST {sql}", parameters=parameters, settings={**settings, "readonly": "1"})
        )

    tree = (await store.run(parse)).decode()
    databases = await store.select(_OTHERS)
    makers = {row["name"] for row in await store.select(_MAKERS)} - _HARMLESS
    _require_views_only(tree, others={row["name"] for row in databases if not row["is_ours"]}, makers=makers)
    _require_policies(tree, await unprotected_tables(store))
    return settings


def _require_views_only(tree: str, *, others: set[str], makers: set[str]) -> None:
    lines = tree.splitlines()
    if not lines or lines[0].split(" ", 1)[0] not in _KINDS:
        raise BadQuery(
            "only SELECT, DESCRIBE and SHOW TABLES are run", field="sql", remedy="begin with SELECT, WITH or DESCRIBE"
        )
    for node in filter(None, map(_NODE.match, lines)):
        name = (node["name"] or "").lower()
        database = _DATABASE.match(name)
        if node["kind"] == "Function":
            is_foreign = name.split(" ", 1)[0] in makers
        else:
            is_foreign = not name or bool(database and database["database"] in others)
        if is_foreign:
            raise BadQuery(
                f"the statement reads {name.split(' ', 1)[0] or 'what has no name'}, which is not a view",
                field="sql",
                remedy="read from the tables that SHOW TABLES lists",
            )


def _require_policies(tree: str, unprotected: set[str] | None) -> None:
    if unprotected is None:
        raise SqlUnprotected("its tables")
    # An alias behind a name may look like another name; then too much is refused.
    names = [f".{node['name'] or ''} ".lower() for node in map(_NODE.match, tree.splitlines()) if node]
    read = sorted(table for table in unprotected if any(f".{table} ".lower() in name for name in names))
    if read:
        raise SqlUnprotected(", ".join(read))
