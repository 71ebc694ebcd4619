import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, cast

import httpx
import pytest
from litestar import Litestar, Request, Response
from litestar.handlers import BaseRouteHandler
from litestar.testing import AsyncTestClient

from control_plane.endpoints.errors import EndpointNotFoundError
from control_plane.ports import Actor
from control_plane.web.authentication import Authentication, Connection, Doorway, RoleGuard
from control_plane.web.command_runner import Commands
from control_plane.web.operation_routes import routes
from infra.operations import Operation
from projections.bootstrap import Views, open_views
from projections.errors import QueryError
from projections.query.lane import QueryLimits
from projections.reading import Endpoints
from projections.store import ClickHouseStore
from projections.views import projector_of
from schemas.events import rollouts
from schemas.measurement import MAX_ITEMS
from schemas.results import ItemProblem
from schemas.topics import REGISTRY_EVENTS, REQUESTS
from tests.integration.projections.conftest import sink_into
from tests.support.read_side_messages import (
    ENDPOINT,
    EPOCH,
    ROLLOUT,
    WORKSPACE,
    batch_message,
    event_message,
    headers,
    prediction_id,
    request_row,
)

NOBODY = cast("Any", None)


class HeaderGuard(RoleGuard):
    """Lets everybody in, under the name that a header says."""

    def __init__(self, operation: Operation) -> None:
        super().__init__(Doorway(NOBODY, NOBODY, NOBODY), operation, remedy="")

    async def __call__(self, connection: Connection, _: BaseRouteHandler) -> None:
        principal_id = connection.headers.get("x-principal", "one")
        actor = Actor(principal_id=principal_id, role="viewer", workspace=WORKSPACE)
        connection.scope["state"]["actor"] = actor


class Anybody(Authentication):
    def guard(self, operation: Operation) -> RoleGuard:
        assert operation.roles
        return HeaderGuard(operation)


async def id_of(name: str, _workspace: str) -> str:
    return ENDPOINT if name in ("digits", ENDPOINT) else name


async def ids_of(names: Sequence[str], workspace: str) -> list[str | ItemProblem]:
    unknown = ItemProblem(code="endpoint-not-found", detail="there is no such endpoint")
    return [unknown if name == "nowhere" else await id_of(name, workspace) for name in names]


ENDPOINTS = Endpoints(id_of=id_of, ids_of=ids_of, unknown=EndpointNotFoundError)
NOW_MS = time.time_ns() // 1_000_000


def told(request: Request[Any, Any, Any], error: QueryError) -> Response[dict[str, str | None]]:
    content = {"code": error.code, "detail": error.detail, "field": error.field, "remedy": error.remedy}
    return Response(content, status_code=error.status)


@pytest.fixture
async def client(views_database: str, store: ClickHouseStore) -> AsyncIterator[AsyncTestClient[Litestar]]:
    judged = rollouts.StepJudged(
        measurement=rollouts.Measurement(
            step=0, epoch=EPOCH, watermark_ms=1, elapsed_ms=1, freshness="fresh", counts=()
        ),
        verdicts=(
            rollouts.Verdict(
                gate="quality", outcome="fail", reason="worse", estimate=0.1, lower=0.05, upper=0.2, alpha=0.01
            ),
        ),
        decision="abort",
        reason="quality failed",
    )
    rows = [
        request_row(1, started_at_ms=NOW_MS - 500),
        *(request_row(number, started_at_ms=NOW_MS - 500, workspace="another's") for number in (2, 3)),
    ]
    described = headers(source="shipper-1", kind="requests", batch=0, rows=len(rows), closed_until_ms=NOW_MS)
    await sink_into(store, projector_of(REQUESTS)).consume(
        [batch_message(rows, described=described, offset=0, timestamp_ms=NOW_MS)]
    )
    await sink_into(store, projector_of(REGISTRY_EVENTS)).consume(
        [event_message(judged, stream=ROLLOUT, version=3, position=9, at_ms=NOW_MS)]
    )
    views = open_views(views_database, endpoints=ENDPOINTS)
    async with AsyncTestClient(_app(views)) as opened:
        yield opened


async def test_the_timeline_carries_the_verdicts_as_they_were_recorded(client: AsyncTestClient[Litestar]) -> None:
    answer = await client.get(f"/v1/rollouts/{ROLLOUT}/timeline", params={"min_position": 9, "wait_ms": 1000})

    (item,) = answer.json()["items"]
    assert answer.json()["position"] == 9
    assert (item["reason"], item["verdicts"][0]["outcome"]) == ("quality failed", "fail")


async def test_a_measurement_names_its_arms_and_its_freshness(client: AsyncTestClient[Litestar]) -> None:
    arms = {"candidate": "green", "baseline": "blue"}

    answer = await client.get("/v1/endpoints/digits/measurement", params={"epoch": EPOCH, **arms})

    assert answer.status_code == 200
    assert answer.json()["watermark_ms"] == NOW_MS - 1
    assert {name: arm["requests"] for name, arm in answer.json()["arms"].items()} == {"green": 0, "blue": 1}


async def test_measurements_of_many_epochs_stand_in_their_order_and_one_that_cannot_be_counted_fails_no_other(
    client: AsyncTestClient[Litestar],
) -> None:
    asked = {"endpoint": "digits", "epoch": EPOCH, "candidate": "green", "baseline": "blue"}
    items = [
        {**asked, "latency_threshold_ms": 1.0},
        {**asked, "endpoint": "nowhere"},
        {**asked, "epoch": -1},
        {**asked, "latency_threshold_ms": 100.0},
        {**asked, "endpoint": "another", "baseline": "red"},
    ]

    answer = await client.post("/v1/measurements", json={"items": items})

    first, unknown, impossible, second, empty = answer.json()["items"]
    assert answer.status_code == 200
    assert [each["answer"]["arms"]["blue"]["slow"] for each in (first, second)] == [1, 0]
    assert {each["answer"]["watermark_ms"] for each in (first, second, empty)} == {NOW_MS - 1}
    assert {name: arm["requests"] for name, arm in empty["answer"]["arms"].items()} == {"green": 0, "red": 0}
    assert [each["problem"]["code"] for each in (unknown, impossible)] == ["endpoint-not-found", "bad-query"]


async def test_as_many_epochs_as_are_allowed_are_measured_at_once(client: AsyncTestClient[Litestar]) -> None:
    name = "endpoint-01900000-0000-7000-8000-{:012}".format
    items = [
        {"endpoint": name(number), "epoch": EPOCH, "candidate": f"green-{name(number)}", "baseline": "blue"}
        for number in range(MAX_ITEMS)
    ]

    whole = await client.post("/v1/measurements", json={"items": [*items[1:], {**items[0], "endpoint": "digits"}]})
    none = await client.post("/v1/measurements", json={"items": []})

    assert whole.json()["items"][-1]["answer"]["arms"]["blue"]["requests"] == 1
    assert none.json() == {"items": []}


async def test_metrics_and_quality_answer(client: AsyncTestClient[Litestar]) -> None:
    metrics = await client.get("/v1/endpoints/digits/metrics", params={"by": "deployment"})
    quality = await client.get("/v1/endpoints/digits/quality")
    tokens = await client.get("/v1/endpoints/digits/tokens")

    assert metrics.json()["items"][0]["requests"] == 1
    assert quality.json()["items"] == []
    assert (tokens.status_code, tokens.json()["items"]) == (200, [])


async def test_a_prediction_is_told_with_what_served_it(client: AsyncTestClient[Litestar]) -> None:
    known = prediction_id(NOW_MS - 500, 1)

    one = await client.get(f"/v1/predictions/{known}")
    many = await client.post("/v1/predictions/lookup", json={"prediction_ids": [known]})

    assert (one.json()["version"], one.json()["epoch"], one.json()["event"]) == ("digits/1", EPOCH, None)
    assert many.json()["items"][0]["prediction_id"] == known


async def test_sql_is_answered_and_its_errors_are_the_caller_s(client: AsyncTestClient[Litestar]) -> None:
    good = await client.post("/v1/query", json={"sql": "SELECT count() AS n FROM request_records"})
    bad = await client.post("/v1/query", json={"sql": "SELECT nope FROM request_records"})

    assert good.json()["data"] in ([[1]], [["1"]])
    assert (bad.status_code, bad.json()["code"], bad.json()["field"]) == (400, "bad-query", "sql")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count() FROM request_records",
        "SELECT count() FROM request_records WHERE workspace != 'x' OR 1",
        "SELECT (SELECT count() FROM request_records FINAL)",
        "WITH all AS (SELECT * FROM request_records) SELECT count() FROM all AS a JOIN all AS b USING (prediction_id)",
        "SELECT count() FROM view(SELECT * FROM request_records)",
        "SELECT sum(n) FROM (SELECT count() AS n FROM request_records UNION ALL SELECT 0)",
        "SELECT count() FROM {table:Identifier}",
        "/* x */ SELECT count() FROM request_records",
        "-- 100 %\n/* y */ SELECT count() FROM request_records -- z",
        "SELECT count() FROM request_records; -- done",
        (
            "SELECT countIf((workspace, prediction_id) IN (SELECT workspace, prediction_id FROM request_records)) "
            "FROM request_records"
        ),
    ],
)
async def test_sql_sees_the_rows_of_the_caller_s_workspace_alone(
    client: AsyncTestClient[Litestar], store: ClickHouseStore, sql: str
) -> None:
    assert (await store.select("SELECT count() AS n FROM request_records"))[0]["n"] >= 3

    answer = await client.post("/v1/query", json={"sql": sql, "parameters": {"table": "request_records"}})

    assert answer.json()["data"] in ([[1]], [["1"]]), answer.text


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count() FROM merge(currentDatabase(), 'request_records')",
        "SELECT count() FROM `merge`('default', 'request_records')",
        "SELECT 1 IN (SELECT 1 FROM merge(currentDatabase(), '.*'))",
        "SELECT * FROM mergeTreeIndex(currentDatabase(), 'request_records')",
        "SELECT query FROM system.processes",
        "SELECT rows FROM system.parts",
        "SELECT 1 IN system.one",
        "SELECT * FROM {table:Identifier}",
        "EXPLAIN ESTIMATE SELECT * FROM request_records",
        "SHOW PROCESSLIST",
        "/* x */ SELECT rows FROM system.parts",
        "-- x\nSHOW PROCESSLIST",
        "-- SELECT\nCREATE TABLE x (a Int8) ENGINE = Memory",
        "SELECT count() FROM request_records SETTINGS log_comment = ''",
        "SELECT count() FROM request_records SETTINGS readonly = 0",
    ],
)
async def test_sql_that_would_reach_beyond_the_workspace_is_refused(
    client: AsyncTestClient[Litestar], sql: str
) -> None:
    answer = await client.post("/v1/query", json={"sql": sql, "parameters": {"table": "system.one"}})

    assert (answer.status_code, answer.json()["code"], answer.json()["field"]) == (400, "bad-query", "sql"), answer.text


async def test_a_table_that_does_not_say_whose_its_rows_are_is_empty(
    client: AsyncTestClient[Litestar], store: ClickHouseStore
) -> None:
    assert (await store.select("SELECT count() AS n FROM sources"))[0]["n"] > 0

    answer = await client.post("/v1/query", json={"sql": "SELECT count() FROM sources"})

    assert answer.json()["data"] in ([[0]], [["0"]])


@pytest.mark.parametrize(("changes", "field"), [({"window_ms": 1}, "window_ms"), ({"to_ms": 0}, "to_ms")])
async def test_windows_of_features_that_do_not_exist_are_refused(
    client: AsyncTestClient[Litestar], changes: dict[str, Any], field: str
) -> None:
    asked = {"from_ms": NOW_MS - 60_000, "to_ms": NOW_MS}

    found = await client.post("/v1/endpoints/digits/feature-summaries", json=asked)
    refused = await client.post("/v1/endpoints/digits/feature-summaries", json=asked | changes)

    assert (found.status_code, found.json()["items"]) == (200, [])
    assert (refused.status_code, refused.json()["code"], refused.json()["field"]) == (400, "bad-query", field)


async def test_the_tables_are_listed_with_how_long_they_keep_rows(client: AsyncTestClient[Litestar]) -> None:
    answer = await client.get("/v1/views")

    assert answer.status_code == 200
    by_name = {item["table"]: item for item in answer.json()["items"]}
    assert list(by_name) == sorted(by_name)
    assert (by_name["request_records"]["rows"], by_name["request_records"]["retention_days"]) == (3, 7)
    assert (by_name["domain_events"]["rows"], by_name["domain_events"]["retention_days"]) == (1, None)


async def test_the_tables_and_their_columns_are_told(client: AsyncTestClient[Litestar]) -> None:
    tables = await client.post("/v1/query", json={"sql": "SHOW TABLES"})
    columns = await client.post("/v1/query", json={"sql": "DESCRIBE request_records"})

    assert ["request_records"] in tables.json()["data"]
    assert "prediction_id" in {row[0] for row in columns.json()["data"]}


async def test_a_long_statement_ends_and_those_that_wait_are_told_while_views_are_answered(
    views_database: str, store: ClickHouseStore
) -> None:
    arms = {"candidate": "green", "baseline": "blue"}
    sql = "SELECT count() FROM numbers(100000000000) WHERE number % 7 = 3"
    limits = QueryLimits(at_once=1, seconds=2, waiting=1, wait_seconds=0.2)
    principals = ({"x-principal": name} for name in ("one", "two", "three"))
    views = open_views(views_database, endpoints=ENDPOINTS, limits=limits)

    # The test client of Litestar sends one request after the other.
    transport = httpx.ASGITransport(cast("Any", _app(views)))
    async with httpx.AsyncClient(transport=transport, base_url="http://api", timeout=180) as client:
        asked = [asyncio.create_task(client.post("/v1/query", json={"sql": sql}, headers=each)) for each in principals]
        ended = asyncio.as_completed(asked)
        busy = [await next(ended), await next(ended)]
        view = await client.get("/v1/endpoints/digits/measurement", params={"epoch": EPOCH, **arms})
        is_under_way = any(not task.done() for task in asked)
        long = await next(ended)
    await views.close()

    assert (view.status_code, is_under_way) == (200, True), view.text
    assert [answer.json()["code"] for answer in busy] == ["queries-busy"] * 2
    assert (long.status_code, long.json()["detail"]) == (400, "the statement took longer than 2 s and was stopped")


async def test_ten_loops_of_one_principal_hold_another_up_for_one_statement(views_database: str) -> None:
    limits = QueryLimits(at_once=1, at_once_each=1, seconds=1, waiting_each=2, wait_seconds=60)
    views = open_views(views_database, endpoints=ENDPOINTS, limits=limits)
    ended: list[int] = []
    has_ended = asyncio.Condition()

    async def loop(client: httpx.AsyncClient) -> None:
        while True:
            sql = "SELECT count() FROM numbers(100000000000) WHERE number % 7 = 3"
            answer = await client.post("/v1/query", json={"sql": sql}, headers={"x-principal": "greedy"})
            async with has_ended:
                if answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
                    await has_ended.wait()
                else:
                    ended.append(answer.status_code)
                    has_ended.notify_all()

    transport = httpx.ASGITransport(cast("Any", _app(views)))
    async with httpx.AsyncClient(transport=transport, base_url="http://api", timeout=180) as client:
        loops = [asyncio.create_task(loop(client)) for _ in range(10)]
        await _until(lambda: views.lane.refused()["too-many-statements"] >= 7 and len(ended) >= 2)
        asked = asyncio.create_task(
            client.post("/v1/query", json={"sql": "SELECT 1"}, headers={"x-principal": "other"})
        )
        await _until(lambda: views.lane.statements()["waiting"] == 3 or asked.done())
        before = len(ended)
        answer = await asked
        after = len(ended)
        for task in loops:
            task.cancel()
        await asyncio.gather(*loops, return_exceptions=True)
    await views.close()

    assert answer.status_code == 200, answer.text
    assert after - before <= 1
    assert set(ended) == {400}


async def test_without_clickhouse_a_query_says_so_and_the_program_starts() -> None:
    views = open_views("http://127.0.0.1:9/default", endpoints=ENDPOINTS)

    async with AsyncTestClient(_app(views)) as client:
        answer = await client.get(f"/v1/rollouts/{ROLLOUT}/timeline")

    assert (answer.status_code, answer.json()["code"]) == (503, "view-unavailable")


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not holds():
            await asyncio.sleep(0.01)


def _app(views: Views) -> Litestar:
    handlers = routes(
        list(views.operations), commands=cast("Commands", None), authentication=Anybody(NOBODY, NOBODY, NOBODY)
    )
    return Litestar(
        route_handlers=handlers, exception_handlers={QueryError: told}, on_shutdown=[views.close], debug=True
    )
