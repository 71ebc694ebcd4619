"""Comments neither hide that a statement reads, nor make one pass that does not."""

from collections.abc import Callable
from typing import Any

import pytest

from projections.errors import BadQuery
from projections.query.lane import QueryLane, QueryLimits
from projections.query.queries import Sql, run_sql
from projections.store import ClickHouseStore


class _Client:
    """Answers the syntax tree of a SELECT, and keeps what was to be run."""

    def __init__(self) -> None:
        self.ran: list[str] = []

    def raw_query(self, sql: str, **_: Any) -> bytes:  # noqa: ANN401
        if sql.startswith("EXPLAIN AST"):
            return b"SelectWithUnionQuery (children 1)\n"
        self.ran.append(sql)
        return b"{}"


class _Store(ClickHouseStore):
    def __init__(self) -> None:
        self.client = _Client()

    async def run(self, action: Callable[[Any], Any]) -> Any:  # noqa: ANN401
        return action(self.client)

    async def select(self, *_: Any, **__: Any) -> list[dict[str, Any]]:  # noqa: ANN401
        return []


async def ran(sql: str) -> list[str]:
    store = _Store()
    await run_sql(QueryLane(store, QueryLimits()), Sql(sql=sql), workspace="w", principal="p")
    return store.client.ran


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1",
        "/* x */ SELECT 1",
        "-- x\nSELECT 1",
        "--x\n  -- y; z\n\n/* two\nlines */SELECT 1",
        "# x\nSELECT 1",
        "#! x\nSELECT 1",
        "/* SELECT */ (SELECT 1)",
        "SELECT /* x */ 1 -- format CSV",
        "SELECT '-- x; ' AS a, \"/*\" FROM t",
        r"SELECT 'it\'s -- ' || 'it''s /* '",
        "SELECT 1 -- into outfile 'x'",
    ],
)
async def test_a_statement_with_comments_is_run_as_it_is(sql: str) -> None:
    assert await ran(f"  {sql}\n") == [sql]


@pytest.mark.parametrize(
    ("sql", "run"),
    [
        ("SELECT 1;", "SELECT 1"),
        ("SELECT 1 ; -- done\n/* really */", "SELECT 1"),
        ("SELECT ';' /* x */ ;", "SELECT ';' /* x */"),
        ("SELECT '; -- x'", "SELECT '; -- x'"),
    ],
)
async def test_the_end_of_a_statement_may_be_marked_and_commented(sql: str, run: str) -> None:
    assert await ran(sql) == [run]


@pytest.mark.parametrize(
    "sql",
    [
        "",
        ";",
        "-- SELECT 1",
        "/* SELECT 1 */",
        "/* SELECT 1",
        "/* x */ DROP TABLE x",
        "-- SELECT 1\nINSERT INTO x VALUES (1)",
        "/**/SYSTEM SHUTDOWN",
        "SELECT 1 FORMAT CSV",
        "SELECT 1 FORMAT CSV -- x",
        "SELECT 1 FORMAT /* x */ CSV",
        "SELECT 1 INTO OUTFILE 'x' -- y",
        "SELECT 1 INTO/* x */OUTFILE 'x'",
    ],
)
async def test_a_comment_makes_no_other_statement_pass(sql: str) -> None:
    with pytest.raises(BadQuery):
        await ran(sql)


async def test_many_comments_are_looked_through_at_once() -> None:
    assert await ran("/* */" * 10_000 + " " * 10_000 + "SELECT 1")
    for opening in ("/*", "'", '"', "`", "-", "/", "#"):
        with pytest.raises(BadQuery):
            await ran(opening * 30_000)
