"""Requests and their copies, paired on a real ClickHouse engine."""

import time

from infra.clock import SystemClock
from projections.quality.queries import quality_of_endpoint
from projections.reading import Reader
from projections.shadow_comparison.queries import Question, compare_shadow
from projections.store import ClickHouseStore
from projections.views import projector_of
from schemas.topics import OBSERVATIONS, REQUESTS
from tests.integration.projections.conftest import sink_into
from tests.support.read_side_messages import (
    ENDPOINT,
    WORKSPACE,
    batch_message,
    headers,
    observation_row,
    request_row,
)

NOW_MS = time.time_ns() // 1_000_000
AT_MS = NOW_MS - 5_000
SHADOW = {"deployment_id": "green", "version": "digits/2"}


async def test_pairs_are_compared_where_both_answers_are_known(store: ClickHouseStore) -> None:
    served = [request_row(number, started_at_ms=AT_MS, byte_offset=number) for number in range(5)]
    copied = [
        request_row(number, started_at_ms=AT_MS, byte_offset=100 + number, role="shadow", **SHADOW)
        for number in range(4)
    ]
    answers = [
        observation_row(number, started_at_ms=AT_MS, prediction=text, row=number)
        for number, text in enumerate(("7", "1", "3.0", "5"))
    ] + [
        observation_row(number, started_at_ms=AT_MS, prediction=text, row=10 + number, deployment_id="green")
        for number, text in enumerate(("7", "4", "3.05"))
    ]
    health = [
        request_row(9, started_at_ms=AT_MS, byte_offset=900, kind="health"),
        request_row(9, started_at_ms=AT_MS, byte_offset=901, kind="health", role="shadow", **SHADOW),
    ]
    rows = [*served, *copied, *health]
    requests = headers(source="s1", kind="requests", batch=0, rows=len(rows), closed_until_ms=NOW_MS)
    observed = headers(source="o1", kind="observations", batch=0, rows=len(answers), closed_until_ms=NOW_MS)
    await sink_into(store, projector_of(REQUESTS)).consume(
        [batch_message(rows, described=requests, offset=0, timestamp_ms=NOW_MS)]
    )
    await sink_into(store, projector_of(OBSERVATIONS)).consume(
        [batch_message(answers, described=observed, offset=0, timestamp_ms=NOW_MS)]
    )
    reader = Reader(store, clock=SystemClock())

    compared = await compare_shadow(reader, ENDPOINT, workspace=WORKSPACE, question=Question(tolerance=0.1))
    quality = await quality_of_endpoint(
        reader, ENDPOINT, workspace=WORKSPACE, feedback_name=None, since_ms=None, bucket_ms=60_000
    )

    (item,) = compared.items
    assert (item.version, item.shadow_version) == ("digits/1", "digits/2")
    assert (item.pairs, item.compared, item.same) == (4, 3, 2)
    (different,) = compared.pairs
    assert (different.answer, different.shadow_answer) == ("1", "4")
    assert quality.items == []
