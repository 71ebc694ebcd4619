"""Keeps the SQL of callers within the rows of their workspace, whoever they are.

ClickHouse adds a filter to each table that a statement reads. What its filters do not reach, other databases and
functions that make tables, is refused by the statement's syntax tree as ClickHouse itself parses it.
"""

import re
from collections.abc import Mapping
from typing import Any

from projections.errors import BadQuery
from projections.store import ClickHouseStore

_KINDS = {"SelectWithUnionQuery", "SelectIntersectExceptQuery", "DescribeQuery", "ShowTables"}
_NODE = re.compile(r"^ *(?P<kind>TableIdentifier|Identifier|Function)(?: (?P<name>.*))?\Z")
_DATABASE = re.compile(r"^(?P<database>[^. ]+)\.")
# Functions that make tables out of nothing but their arguments, and one that is also an ordinary function.
_HARMLESS = frozenset(
    {"numbers", "numbers_mt", "zeros", "zeros_mt", "generateseries", "generate_series", "values", "view", "format"}
)
_TABLES = (
    "SELECT table, max(name = 'workspace') AS has_workspace FROM system.columns WHERE database = currentDatabase()"
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
        StoreRefusedError: ClickHouse cannot parse it.
    """

    def parse(client: Any) -> bytes:  # noqa: ANN401  the client is typed where it is made
        return bytes(client.raw_query(f"EXPLAIN AST {sql}", parameters=parameters, settings={"readonly": "1"}))

    tree = (await store.run(parse)).decode()
    databases = await store.select(_OTHERS)
    makers = {row["name"] for row in await store.select(_MAKERS)} - _HARMLESS
    _require_views_only(tree, others={row["name"] for row in databases if not row["is_ours"]}, makers=makers)
    tables = await store.select(f"{_TABLES} GROUP BY table")
    ours = f"workspace = {_quoted(workspace)}"
    filters = {row["table"]: ours if row["has_workspace"] else "0" for row in tables}
    entries = ", ".join(f"{_quoted(table)}: {_quoted(condition)}" for table, condition in filters.items())
    return {"additional_table_filters": "{" + entries + "}"}


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


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
