"""What a statement of one workspace answers does not depend on the rows of another, not even by its errors.

Each statement runs on a database with the rows of both, and on one that has only the caller's.
"""
# ruff: noqa: S608 - the statements are the test's own

import asyncio

import pytest

from infra.clock import SystemClock
from projections.errors import BadQuery
from projections.query.lane import QueryLane, QueryLimits
from projections.query.queries import Sql, run_sql
from projections.table_layout import bring_up_to_date
from tests.integration.clickhouse.conftest import Server
from tests.integration.projections.conftest import created_database, opened

# Every other row is of the workspace `b`; in those, each conversion and division below fails.
_ROWS = """
INSERT INTO observation_records (prediction_id, workspace, endpoint_id, captured_at_ms, status, inputs, outputs, row,
    ingested_at)
SELECT concat('{now_ms}-', toString(number)), if(number % 2 = 0, 'a', 'b'), if(number % 2 = 0, 'YWJj', 'hidden['),
    {now_ms} + number, number % 2 = 0, if(number % 2 = 0, '1', 'hidden'), if(number % 2 = 0, '[1]', 'hidden'),
    number, toDateTime64('2025-12-01 00:00:00', 3) FROM numbers(1000) WHERE number % {step} = 0
;
INSERT INTO domain_events (position, event_id, type, workspace, stream, stream_version, at, event)
SELECT number, concat('event-', toString(number)), if(number % 2 = 0, 'YWJj', 'hidden['),
    if(number % 2 = 0, 'a', 'b'), if(number % 2 = 0, '1', 'hidden'), number % 2 = 0,
    toDateTime64('2025-12-01 00:00:00', 3), if(number % 2 = 0, '1', 'hidden') FROM numbers(1000)
WHERE number % {step} = 0
;
INSERT INTO sources (kind, source, region, batch) SELECT 'requests', 'hidden', 'hidden[', 1 FROM numbers(2 - {step})
"""
_OBSERVED, _EVENTS = "observation_records", "domain_events"
_CONDITIONS = {
    _OBSERVED: (
        "toInt64(inputs) > 0",
        "intDiv(1, status) = 1",
        "throwIf(status = 0) = 0",
        "throwIf(workspace = 'b') = 0",
        "row = 3 AND throwIf(status = 0) = 0",
        "captured_at_ms > 0 AND toInt64(inputs) = 1",
        "base64Decode(endpoint_id) = 'abc'",
        "NOT match('x', endpoint_id)",
        "toInt64(JSONExtractString(concat('{\"a\":\"', inputs, '\"}'), 'a')) = 1",
        "length(repeat('x', if(status = 0, 1000000000, 1))) = 1",
    ),
    _EVENTS: (
        "toInt64(event) > 0",
        "intDiv(1, stream_version) = 1",
        "throwIf(workspace != 'a') = 0",
        "position < 500 AND intDiv(1, stream_version) = 1",
        "toUInt8(stream) = 1",
        "base64Decode(type) = 'abc'",
        "replaceRegexpOne('x', type, 'y') = 'x'",
    ),
}
_SHAPES = (
    "SELECT count() FROM {t} WHERE {c}",
    "SELECT count() FROM {t} PREWHERE {c}",
    "SELECT count() FROM {t} FINAL WHERE {c}",
    "SELECT count() FROM {t} FINAL PREWHERE {c}",
    "SELECT count() FROM {t} PREWHERE {c} WHERE {c}",
    "SELECT count() FROM (SELECT * FROM {t} PREWHERE {c})",
    "SELECT (SELECT count() FROM {t} PREWHERE {c})",
    "WITH x AS (SELECT * FROM {t} WHERE {c}) SELECT count() FROM x",
    "SELECT count() FROM {t} WHERE workspace IN (SELECT workspace FROM {t} PREWHERE {c})",
    "SELECT count() FROM {t} WHERE workspace IN (SELECT workspace FROM {t} AS i WHERE {c})",
    "SELECT count() FROM (SELECT 1 FROM {t} WHERE {c} UNION ALL SELECT 2 FROM {t} PREWHERE {c})",
    "SELECT count() FROM view(SELECT * FROM {t} PREWHERE {c})",
    "SELECT countIf({c}) FROM {t}",
    "SELECT max({c}) OVER (ORDER BY workspace) AS m FROM {t} LIMIT 1",
    "SELECT workspace FROM {t} ORDER BY {c} LIMIT 1",
    "SELECT workspace FROM {t} LIMIT 1 BY {c}",
    "SELECT count() FROM {t} GROUP BY {c} HAVING max({c})",
    "SELECT z FROM {t} ARRAY JOIN [{c}] AS z LIMIT 1",
    "SELECT count() FROM {t} AS l JOIN (SELECT workspace, {c} AS x FROM {t}) AS r USING (workspace) WHERE x = 1",
    "SELECT DISTINCT {c} FROM {t}",
    "SELECT count() FROM `{t}` WHERE {c}",
    'SELECT count() FROM "{t}" PREWHERE {c}',
    "SELECT count() FROM {t} PREWHERE {c} SETTINGS log_comment = ''",
    "SELECT count() FROM (SELECT * FROM {t} PREWHERE {c} SETTINGS log_comment = 'rollbook:workspace=b')",
    "SELECT count() FROM {t}_rebuilt PREWHERE {c}",
    "SELECT count() FROM {t}_rebuilt WHERE {c}",
    "EXPLAIN SELECT count() FROM {t} PREWHERE {c}",
)
_OTHERS = (
    "SELECT count(), min(position), max(position), uniq(workspace), any(workspace) FROM domain_events",
    "SELECT min(workspace), max(workspace), groupUniqArray(workspace) FROM observation_records FINAL",
    "SELECT min(captured_at_ms), max(captured_at_ms) FROM observation_records",
    "SELECT workspace, count() FROM domain_events GROUP BY workspace WITH TOTALS",
    "SELECT workspace, count() FROM domain_events GROUP BY ROLLUP(workspace)",
    "SELECT * FROM domain_events ORDER BY position DESC LIMIT 3",
    "SELECT position FROM domain_events ORDER BY position LIMIT 5 OFFSET 10",
    "SELECT l.event, r.event FROM domain_events AS l ANY JOIN domain_events AS r ON l.position + 1 = r.position",
    "SELECT r.event FROM domain_events AS l LEFT JOIN domain_events AS r ON l.position + 1 = r.position LIMIT 3",
    (
        "SELECT count() FROM domain_events AS l JOIN observation_records AS r ON l.position = r.row "
        "AND intDiv(1, r.status) = 1 AND toInt64(l.event) = 1"
    ),
    (
        "SELECT count() FROM domain_events AS l ASOF JOIN observation_records AS r "
        "ON l.workspace = r.workspace AND l.position >= r.row WHERE toInt64(r.inputs) = 1"
    ),
    "SELECT lagInFrame(event) OVER (ORDER BY position) AS e FROM domain_events ORDER BY position LIMIT 5",
    (
        "SELECT neighbour FROM (SELECT any(event) OVER (ORDER BY position ROWS BETWEEN 1 FOLLOWING AND 1 FOLLOWING) "
        "AS neighbour FROM domain_events ORDER BY position LIMIT 5)"
    ),
    "SELECT count() FROM domain_events WHERE stream = 'hidden'",
    "SELECT count() FROM domain_events WHERE workspace = 'b'",
    "SELECT count() FROM domain_events PREWHERE workspace = 'b' AND throwIf(stream_version = 0) = 0",
    "SELECT count() FROM merge(currentDatabase(), 'domain_events')",
    "SELECT count() FROM merge('domain_events')",
    "SELECT count() FROM sources",
    "SELECT count() FROM sources PREWHERE throwIf(source = 'hidden') = 0",
    "SELECT any(toInt64(source)) FROM sources_rebuilt",
    "SELECT any(source) FROM sources FINAL WHERE toInt64(source) = 1",
    "SELECT groupUniqArray(lowCardinalityKeys(toLowCardinality(type))) FROM domain_events",
    "SELECT count() FROM sources PREWHERE base64Decode(region) = ''",
    "SELECT any(base64Decode(region)) FROM sources WHERE match('x', region)",
    "SELECT * APPLY(base64Decode) FROM (SELECT type FROM domain_events LIMIT 1)",
    "DESCRIBE domain_events",
    "DESCRIBE (SELECT toInt64(any(event)) FROM domain_events)",
    "SHOW TABLES",
    "EXPLAIN ESTIMATE SELECT * FROM domain_events",
    "EXPLAIN indexes = 1 SELECT * FROM domain_events WHERE stream = 'hidden'",
    "SELECT getSetting('log_comment')",
)


@pytest.fixture(scope="module")
def databases(server: Server) -> tuple[str, str]:
    """Return one with the rows of both workspaces, and one with those of `a`."""

    now_ms = SystemClock().now_ms()

    async def filled(step: int) -> str:
        url = await created_database(server)
        async with opened(url) as store:
            await bring_up_to_date(store)
            for statement in _ROWS.format(step=step, now_ms=now_ms).split(";"):
                await store.command(statement)
            for table in ("observation_records", "domain_events", "sources"):
                await store.command(f"CREATE TABLE {table}_rebuilt AS {table}")
                await store.command(f"INSERT INTO {table}_rebuilt SELECT * FROM {table}")
        return url

    return asyncio.run(filled(1)), asyncio.run(filled(2))


async def _outcomes(url: str, statements: list[str]) -> dict[str, str]:
    database = url.rpartition("/")[2]
    outcomes = {}
    async with opened(url) as store:
        lane = QueryLane(store, QueryLimits())
        for sql in statements:
            try:
                outcome = (await run_sql(lane, Sql(sql=sql), workspace="a", principal="p")).decode()
            except BadQuery as error:
                outcome = error.detail
            outcomes[sql] = outcome.replace(database, "database")
    return outcomes


@pytest.mark.parametrize("table", _CONDITIONS)
@pytest.mark.parametrize("shape", _SHAPES)
async def test_a_condition_that_fails_on_foreign_rows_answers_as_without_them(
    databases: tuple[str, str], shape: str, table: str
) -> None:
    statements = [shape.replace("{t}", table).replace("{c}", condition) for condition in _CONDITIONS[table]]

    with_foreign_rows, without = [await _outcomes(url, statements) for url in databases]

    assert with_foreign_rows == without


async def test_no_statement_tells_whether_there_are_foreign_rows(databases: tuple[str, str]) -> None:
    with_foreign_rows, without = [await _outcomes(url, list(_OTHERS)) for url in databases]

    assert with_foreign_rows == without


async def test_the_statements_see_the_caller_s_own_rows(databases: tuple[str, str]) -> None:
    counts = await _outcomes(
        databases[0], [f"SELECT count() FROM {table} PREWHERE workspace = 'a'" for table in _CONDITIONS]
    )

    assert all("[500]" in answer for answer in counts.values()), counts
