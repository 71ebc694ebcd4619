import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from litestar import Litestar, Request, Response
from litestar.testing import AsyncTestClient

from projections.bootstrap import QueryRoutes, query_routes
from projections.domain_log.projector import RegistryProjector
from projections.errors import QueryError
from projections.reading import Caller
from projections.serving_metrics.projector import RequestProjector
from projections.store import ClickHouseStore
from schemas.events import rollouts
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

CALLER = Caller(
    workspace_of=lambda _request: WORKSPACE,
    endpoint_id_of=lambda _request, name: ENDPOINT if name in ("digits", ENDPOINT) else name,
)
NOW_MS = time.time_ns() // 1_000_000


def told(request: Request[Any, Any, Any], error: QueryError) -> Response[dict[str, str | None]]:
    content = {"code": error.code, "detail": error.detail, "field": error.field, "remedy": error.remedy}
    return Response(content, status_code=error.status)


@pytest.fixture
async def client(database_url: str, store: ClickHouseStore) -> AsyncIterator[AsyncTestClient[Litestar]]:
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
    rows = [request_row(1, started_at_ms=NOW_MS - 500)]
    described = headers(source="shipper-1", kind="requests", batch=0, rows=1, closed_until_ms=NOW_MS)
    await sink_into(store, RequestProjector()).consume(
        [batch_message(rows, described=described, offset=0, timestamp_ms=NOW_MS)]
    )
    await sink_into(store, RegistryProjector()).consume(
        [event_message(judged, stream=ROLLOUT, version=3, position=9, at_ms=NOW_MS)]
    )
    routes = query_routes(database_url, caller=CALLER)
    async with AsyncTestClient(_app(routes)) as opened:
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


async def test_metrics_and_quality_answer(client: AsyncTestClient[Litestar]) -> None:
    metrics = await client.get("/v1/endpoints/digits/metrics", params={"by": "deployment"})
    quality = await client.get("/v1/endpoints/digits/quality")

    assert metrics.json()["items"][0]["requests"] == 1
    assert quality.json()["items"] == []


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


async def test_the_schema_describes_every_route(client: AsyncTestClient[Litestar]) -> None:
    schema = await client.get("/schema/openapi.json")

    assert schema.status_code == 200
    assert "/v1/endpoints/{endpoint}/measurement" in schema.json()["paths"]


async def test_without_clickhouse_a_query_says_so_and_the_program_starts() -> None:
    routes = query_routes("http://127.0.0.1:9/default", caller=CALLER)

    async with AsyncTestClient(_app(routes)) as client:
        answer = await client.get(f"/v1/rollouts/{ROLLOUT}/timeline")

    assert (answer.status_code, answer.json()["code"]) == (503, "view-unavailable")


def _app(routes: QueryRoutes) -> Litestar:
    return Litestar(
        route_handlers=routes.routers, exception_handlers={QueryError: told}, on_shutdown=[routes.close], debug=True
    )
