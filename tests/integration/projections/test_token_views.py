"""What language models read and wrote, over real ClickHouse."""

import time
from typing import Any

from projections.serving_metrics.token_queries import tokens_of_endpoint
from projections.store import ClickHouseStore
from projections.views import projector_of
from schemas.topics import OBSERVATIONS
from tests.integration.projections.conftest import reader_at, sink_into
from tests.support.read_side_messages import ENDPOINT, WORKSPACE, batch_message, headers, observation_row


async def test_tokens_and_times_of_streams_are_told_by_deployment(store: ClickHouseStore) -> None:
    now = time.time_ns() // 1_000_000
    whole = {"tokens_in": 4, "tokens_out": 10, "finish_reason": "stop"}
    stream = {**whole, "tokens_out": 20, "finish_reason": "length", "first_token_ms": 30.0, "token_ms": 5.0}
    left = {**stream, "tokens_out": -1, "finish_reason": "disconnected", "first_token_ms": 50.0, "token_ms": 7.0}
    kinds: list[dict[str, Any]] = [whole, stream, left, {**whole, "deployment_id": "green"}, {}]
    rows = [
        observation_row(number, started_at_ms=now - 500, prediction="x", **kind) for number, kind in enumerate(kinds)
    ]
    described = headers(source="boot-1", kind="observations", batch=0, rows=len(rows), closed_until_ms=now)
    message = batch_message(rows, described=described, offset=0, timestamp_ms=now)
    await sink_into(store, projector_of(OBSERVATIONS)).consume([message])

    standing = reader_at(store, now)
    found = await tokens_of_endpoint(
        standing, ENDPOINT, workspace=WORKSPACE, since_ms=now - 60_000, bucket_ms=3_600_000
    )

    blue, green = found.items
    assert (blue.deployment_id, blue.version_id, blue.calls, blue.streams) == ("blue", "version-1", 3, 2)
    assert (blue.tokens_in, blue.tokens_out) == (12, 30)
    assert blue.first_token_ms is not None
    assert 30 <= blue.first_token_ms.p50 <= blue.first_token_ms.p99 <= 50
    assert blue.token_ms is not None
    assert 5 <= blue.token_ms.p50 <= 7
    assert blue.finish_reasons == {"stop": 1, "length": 1, "disconnected": 1}
    assert (green.calls, green.streams, green.first_token_ms, green.token_ms) == (1, 0, None, None)
    assert found.watermark.freshness == "fresh"
