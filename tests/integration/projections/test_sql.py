"""The SQL of people on a real server: what runs, and what is refused."""

import msgspec
import pytest

from projections.errors import BadQuery
from projections.query.lane import QueryLane, QueryLimits
from projections.query.queries import Sql, run_sql
from projections.store import ClickHouseStore
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
