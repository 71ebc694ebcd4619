"""The SQL of people on a real server: what runs, and what is refused."""

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from projections.errors import BadQuery, SqlUnprotected, StoreRefusedError
from projections.query.lane import QueryLane, QueryLimits
from projections.query.queries import Sql, run_sql
from projections.query.row_policies import separate_workspaces, unprotected_tables
from projections.store import ClickHouseStore
from projections.table_layout import bring_up_to_date
from tests.support.read_side_messages import WORKSPACE


@pytest.fixture
def lane(store: ClickHouseStore) -> QueryLane:
    return QueryLane(store, QueryLimits())


@pytest.mark.parametrize(
    ("sql", "value"), [("SELECT '50%' AS n", "50%"), ("SELECT 7 % 3 AS n", 1), ("SELECT '%(b)s' AS n", "%(b)s")]
)
async def test_a_percent_sign_in_sql_is_no_placeholder(lane: QueryLane, sql: str, value: object) -> None:
    answer = await run_sql(lane, Sql(sql=sql, parameters={"a": 1}), workspace=WORKSPACE, principal="p")

    assert msgspec.json.decode(answer)["data"] == [[value]]


async def test_sql_answers_in_the_format_that_was_asked_for(lane: QueryLane) -> None:
    answer = await run_sql(
        lane, Sql(sql="SELECT {n:Int32} + 1 AS n", parameters={"n": 41}), workspace=WORKSPACE, principal="p"
    )

    assert msgspec.json.decode(answer)["data"] == [[42]]


@pytest.mark.parametrize(
    "sql",
    [
        "TRUNCATE TABLE request_records",
        "SELECT * FROM file('/etc/passwd', 'LineAsString', 'line String')",
        "SELECT * FROM url('http://127.0.0.1:1', 'LineAsString', 'line String')",
        "SELECT 1 SETTINGS max_execution_time = 1000",
        "SELECT 1; DROP TABLE request_records",
        "SELECT 1 INTO OUTFILE '/tmp/x'",
        "SELECT nothing FROM nowhere",
        "SELECT number FROM numbers(1000000)",
        "INSERT INTO feedback (value) VALUES ('x')",
        "WITH 1 AS x INSERT INTO feedback (value) SELECT 'x'",
    ],
)
async def test_sql_that_does_more_than_read_within_limits_is_refused(lane: QueryLane, sql: str) -> None:
    with pytest.raises(BadQuery) as refused:
        await run_sql(lane, Sql(sql=sql), workspace=WORKSPACE, principal="p")

    assert refused.value.field == "sql"
    assert refused.value.detail


async def test_every_table_has_its_row_policy(store: ClickHouseStore) -> None:
    assert await unprotected_tables(store) == set()


async def test_a_table_without_a_policy_is_refused_and_others_are_not(lane: QueryLane, store: ClickHouseStore) -> None:
    await store.command("CREATE TABLE plain_notes (workspace String, note String) ENGINE = MergeTree ORDER BY note")
    try:
        with pytest.raises(SqlUnprotected, match="plain_notes"):
            await run_sql(lane, Sql(sql="SELECT 1 IN plain_notes"), workspace=WORKSPACE, principal="p")
        answer = await run_sql(lane, Sql(sql="SELECT count() FROM feedback"), workspace=WORKSPACE, principal="p")
    finally:
        await store.command("DROP TABLE plain_notes SYNC")

    assert msgspec.json.decode(answer)["data"] == [[0]]


async def test_a_table_with_a_dictionary_gets_no_policy(store: ClickHouseStore) -> None:
    await store.command("CREATE TABLE kinds (workspace LowCardinality(String)) ENGINE = MergeTree ORDER BY workspace")
    try:
        await separate_workspaces(store)
        unprotected = await unprotected_tables(store)
    finally:
        await store.command("DROP TABLE kinds SYNC")

    assert unprotected == {"kinds"}


class WithoutRights(ClickHouseStore):
    """ClickHouse as it answers a user without rights on row policies."""

    async def command(
        self, sql: str, parameters: Mapping[str, Any] | None = None, settings: Mapping[str, str] | None = None
    ) -> None:
        if "ROW POLICY" in sql:
            raise StoreRefusedError("Not enough privileges", store_code=497)
        await super().command(sql, parameters, settings)

    async def select(
        self, sql: str, parameters: Mapping[str, Any] | None = None, settings: Mapping[str, str] | None = None
    ) -> list[dict[str, Any]]:
        if "system.row_policies" in sql:
            raise StoreRefusedError("Not enough privileges", store_code=497)
        return await super().select(sql, parameters, settings)


async def test_without_the_right_to_create_policies_only_the_sql_of_people_is_off(fresh_database: str) -> None:
    store = WithoutRights(fresh_database)
    try:
        applied = await bring_up_to_date(store)
        rows = await store.select("SELECT count() AS n FROM feedback")
        with pytest.raises(SqlUnprotected) as refused:
            await run_sql(QueryLane(store, QueryLimits()), Sql(sql="SELECT 1"), workspace=WORKSPACE, principal="p")
    finally:
        await store.close()

    assert (bool(applied), rows) == (True, [{"n": 0}])
    assert refused.value.status == 503
    assert "grants" in str(refused.value.remedy)


async def test_our_own_statements_read_without_a_filter(store: ClickHouseStore) -> None:
    plan = await store.select(
        "EXPLAIN actions = 1 SELECT count() FROM request_records FINAL WHERE workspace = 'a' AND endpoint_id = 'e'"
    )

    filters = {row["explain"].strip() for row in plan if "ow level filter column" in row["explain"]}
    assert filters <= {"Row level filter column:  1", "Deferred row level filter column:  1"}
