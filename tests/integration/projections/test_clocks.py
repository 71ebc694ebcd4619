"""Clocks of gateways that are set in the middle of a step, on the real engine: nothing is lost, or the view is late."""

import random

import pytest

from projections.measurement.queries import measure_epoch
from projections.rollups.spans import HOUR_MS, MINUTE_MS
from projections.store import ClickHouseStore
from projections.views import projector_of
from schemas.measurement import Measured
from schemas.topics import REQUESTS
from tests.integration.projections.conftest import reader_at, sink_into
from tests.integration.projections.prediction_story import ARMS, LOSSES, NOW, QUESTION, Story, roller_on
from tests.support.read_side_messages import ENDPOINT, WORKSPACE, batch_message, headers, request_row, requests


async def measured(store: ClickHouseStore) -> Measured:
    return await measure_epoch(reader_at(store, NOW), QUESTION, workspace=WORKSPACE, endpoint_id=ENDPOINT)


@pytest.mark.parametrize(("jump_ms", "freshness"), [(HOUR_MS, "late"), (-HOUR_MS, "fresh")])
async def test_a_clock_that_is_set_takes_nothing_from_the_counts(
    store: ClickHouseStore, jump_ms: int, freshness: str
) -> None:
    chance = random.Random(21)
    story, roller = Story(store), roller_on(store)
    times = [chance.randrange(NOW - 3 * MINUTE_MS, NOW - 300) for _ in range(200)]
    closed_ms = NOW + max(0, jump_ms)

    before = await story.serve(times[:100], chance=chance)
    await roller.roll_up()
    after = await story.serve([at_ms + jump_ms for at_ms in times[100:]], chance=chance, at_ms=closed_ms)
    await story.observe([*before, *after], chance=chance, at_ms=closed_ms)
    await story.tell([*before, *after], "label", ("1", "2"), chance=chance)
    await story.tell([*before, *after], "loss", tuple(map(str, LOSSES)), chance=chance)
    await roller.roll_up()
    found, expected = await measured(store), story.expected()

    assert found.freshness == freshness
    for arm in ARMS:
        for name in ("requests", "errors", "refused", "slow", "labelled", "wrong", "over", "streams", "truncated"):
            assert getattr(found.arms[arm], name) == getattr(expected[arm], name), (arm, name)


async def test_what_a_gateway_of_two_has_stamped_with_a_time_to_come_is_missed(store: ClickHouseStore) -> None:
    sink = sink_into(store, projector_of(REQUESTS))
    now = [request_row(1, started_at_ms=NOW - 500)]
    to_come = [request_row(2, started_at_ms=NOW - 500 + HOUR_MS, gateway_id="gateway-2", status=503)]
    await sink.consume([requests(now, at_ms=NOW, source="shipper-1")])
    await sink.consume([requests(to_come, at_ms=NOW + HOUR_MS, source="shipper-2", offset=1)])

    found = await measured(store)

    assert (found.freshness, found.lag_ms, found.waiting_for) == ("late", HOUR_MS, ("shipper-2",))
    assert found.arms["blue"].requests == 1


async def test_gateways_that_disagree_by_seconds_count_all_that_both_have_closed(store: ClickHouseStore) -> None:
    sink = sink_into(store, projector_of(REQUESTS))
    ahead = [request_row(number, started_at_ms=NOW - number * 1_000) for number in range(20)]
    behind = [
        request_row(number, started_at_ms=NOW - 10_000 - number * 1_000, gateway_id="gateway-2") for number in range(20)
    ]
    await sink.consume([requests(ahead, at_ms=NOW, source="shipper-1")])
    closed = headers(source="shipper-2", kind="requests", batch=0, rows=20, closed_until_ms=NOW - 10_000)
    await sink.consume([batch_message(behind, described=closed, offset=1, timestamp_ms=NOW)])

    found = await measured(store)

    assert (found.freshness, found.lag_ms) == ("late", 10_001)
    assert found.waiting_for == ("shipper-2",)
    assert found.arms["blue"].requests == 9 + 19
