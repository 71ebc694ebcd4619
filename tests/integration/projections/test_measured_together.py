"""Many epochs that are measured at once, on the real engine."""

import random

import msgspec
import pytest

from projections.measurement.queries import measure_epoch, measure_epochs
from projections.store import ClickHouseStore
from projections.views import projector_of
from schemas.events.rollouts import MissingSource
from schemas.measurement import Arm, MeasureEpoch, MeasureEpochOf, SilentRegion
from schemas.topics import REQUESTS
from tests.integration.projections.conftest import reader_at, sink_into
from tests.integration.projections.prediction_story import ARMS, NOW, QUESTION, Story, roller_on
from tests.support.read_side_messages import ENDPOINT, EPOCH, WORKSPACE, batch_message, headers, request_row, requests

MINUTE_MS = 60 * 1_000


async def test_epochs_that_are_measured_together_are_counted_as_each_of_them_alone(store: ClickHouseStore) -> None:
    chance = random.Random(11)
    story, reader = Story(store), reader_at(store, NOW)
    served = await story.serve([NOW - n * 7_000 for n in range(1, 200)], chance=chance)
    await story.observe(served[:150], chance=chance, at_ms=NOW - 1_000)
    await story.tell(served, "label", ("1", "2"), chance=chance)
    await story.tell(served, "loss", ("0.25", "0.5"), chance=chance)
    await roller_on(store).roll_up()
    nothing_asked = MeasureEpoch(epoch=EPOCH, candidate="green", baseline="blue")
    asked = [
        QUESTION,
        nothing_asked,
        msgspec.structs.replace(QUESTION, latency_threshold_ms=10.0, first_token_threshold_ms=100.0),
        msgspec.structs.replace(QUESTION, epoch=EPOCH + 1, feedback_name="loss", loss_name=None),
        msgspec.structs.replace(nothing_asked, epoch=EPOCH + 1, rating_name="loss", rating_threshold=0.5),
        msgspec.structs.replace(QUESTION, baseline="green"),
        msgspec.structs.replace(QUESTION, epoch=EPOCH + 2),
    ]

    together = await measure_epochs(
        reader,
        [MeasureEpochOf(endpoint=ENDPOINT, **msgspec.structs.asdict(each)) for each in asked],
        workspace=WORKSPACE,
    )
    alone = [await measure_epoch(reader, each, workspace=WORKSPACE, endpoint_id=ENDPOINT) for each in asked]

    assert together == alone
    assert [each.watermark_ms for each in together[:2]] == [NOW - 1_001, NOW - 1]
    assert all(together[0].arms[arm].labelled > 0 for arm in ARMS)
    assert together[-1].arms == dict.fromkeys(ARMS, Arm())


async def test_epochs_of_another_workspace_have_nothing_to_count(store: ClickHouseStore) -> None:
    await Story(store).serve([NOW - n * 7_000 for n in range(1, 20)], chance=random.Random(12))
    asked = [MeasureEpochOf(endpoint=ENDPOINT, **msgspec.structs.asdict(QUESTION))]

    (own,) = await measure_epochs(reader_at(store, NOW), asked, workspace=WORKSPACE)
    (foreign,) = await measure_epochs(reader_at(store, NOW), asked, workspace="another's")

    assert sum(arm.requests for arm in own.arms.values()) > 0
    assert foreign.arms == dict.fromkeys(ARMS, Arm())


async def test_an_excused_region_is_counted_and_not_waited_for(store: ClickHouseStore) -> None:
    sink = sink_into(store, projector_of(REQUESTS))
    here, there = [request_row(1, started_at_ms=NOW - 500)], [request_row(2, started_at_ms=NOW - 60_000, region="east")]
    described = headers(source="shipper-east", kind="requests", batch=0, rows=1, closed_until_ms=NOW - 30_000)
    lost = msgspec.structs.replace(described, region="east")
    await sink.consume([requests(here, at_ms=NOW)])
    await sink.consume([batch_message(there, described=lost, offset=1, timestamp_ms=NOW - 30_000)])
    question = MeasureEpochOf(endpoint=ENDPOINT, epoch=EPOCH, candidate="green", baseline="blue")
    asked = [question, msgspec.structs.replace(question, excused_regions=("east",))]

    waiting, excusing = await measure_epochs(reader_at(store, NOW), asked, workspace=WORKSPACE)

    missing = MissingSource(source="shipper-east", region="east", since_ms=NOW - 30_000)
    silent = SilentRegion(region="east", since_ms=NOW - 30_000)
    assert (waiting.freshness, waiting.missing, waiting.silent_regions) == ("late", (missing,), (silent,))
    assert (excusing.freshness, excusing.missing, excusing.silent_regions) == ("fresh", (), (silent,))
    assert (waiting.arms["blue"].requests, excusing.arms["blue"].requests) == (1, 2)


async def test_what_a_gateway_did_not_ship_is_missed_though_another_of_its_region_restarts(
    store: ClickHouseStore,
) -> None:
    sink, died_ms = sink_into(store, projector_of(REQUESTS)), NOW - MINUTE_MS
    boots = [("shipper-a", "log-a", died_ms), ("shipper-b1", "log-b", died_ms), ("shipper-b2", "log-b", NOW)]
    for offset, (source, log_id, at_ms) in enumerate(boots):
        rows = [request_row(offset, started_at_ms=at_ms - 500)]
        described = headers(source=source, kind="requests", batch=0, rows=1, closed_until_ms=at_ms)
        said = msgspec.structs.replace(described, log_id=log_id)
        await sink.consume([batch_message(rows, described=said, offset=offset, timestamp_ms=at_ms)])
    question = MeasureEpochOf(endpoint=ENDPOINT, epoch=EPOCH, candidate="green", baseline="blue")

    (found,) = await measure_epochs(reader_at(store, NOW), [question], workspace=WORKSPACE)

    assert (found.freshness, found.waiting_for) == ("late", ("shipper-a",))
    assert found.missing == (MissingSource(source="shipper-a", region="local", since_ms=died_ms),)


async def test_a_gateway_is_alive_until_it_closes_its_log_or_is_given_up(store: ClickHouseStore) -> None:
    sink = sink_into(store, projector_of(REQUESTS))
    sources = [
        *(("heard", NOW, "open"), ("silent", NOW - 14 * MINUTE_MS, "open"), ("lost", NOW - 16 * MINUTE_MS, "open")),
        *(("stopped", NOW - MINUTE_MS, "closing"), ("", NOW, "open")),
    ]
    for offset, (log_id, at_ms, state) in enumerate(sources):
        described = headers(source=f"shipper-{offset}", kind="requests", batch=0, rows=0, closed_until_ms=at_ms)
        said = msgspec.structs.replace(described, log_id=log_id, state=state, region=f"region-{offset}")
        await sink.consume([batch_message([], described=said, offset=offset, timestamp_ms=at_ms)])
    question = MeasureEpochOf(endpoint=ENDPOINT, epoch=EPOCH, candidate="green", baseline="blue")
    asked = [question, msgspec.structs.replace(question, excused_regions=("region-0",))]

    found = await measure_epochs(reader_at(store, NOW), asked, workspace=WORKSPACE)

    assert [each.gateways for each in found] == [("heard", "silent")] * 2


@pytest.mark.parametrize("silent_ms", [16 * MINUTE_MS, 30 * 60 * MINUTE_MS])
async def test_a_region_that_served_the_step_is_silent_for_as_long_as_nothing_comes_from_it(
    store: ClickHouseStore, silent_ms: int
) -> None:
    sink, gone_ms = sink_into(store, projector_of(REQUESTS)), NOW - silent_ms
    here = [request_row(1, started_at_ms=NOW - 500), request_row(2, started_at_ms=NOW - 400, epoch=EPOCH + 1)]
    await sink.consume([requests(here, at_ms=NOW)])
    there = [request_row(3, started_at_ms=gone_ms - MINUTE_MS, region="east")]
    described = headers(source="shipper-east", kind="requests", batch=0, rows=1, closed_until_ms=gone_ms)
    lost = msgspec.structs.replace(described, region="east")
    await sink.consume([batch_message(there, described=lost, offset=1, timestamp_ms=gone_ms)])
    question = MeasureEpochOf(endpoint=ENDPOINT, epoch=EPOCH, candidate="green", baseline="blue")
    asked = [
        question,
        msgspec.structs.replace(question, excused_regions=("east",)),
        msgspec.structs.replace(question, epoch=EPOCH + 1),
        msgspec.structs.replace(question, endpoint="endpoint-2"),
    ]

    served, excusing, next_step, other = await measure_epochs(reader_at(store, NOW), asked, workspace=WORKSPACE)

    missing = MissingSource(source="shipper-east", region="east", since_ms=gone_ms)
    silent = SilentRegion(region="east", since_ms=gone_ms)
    assert (served.freshness, served.missing, served.silent_regions) == ("late", (missing,), (silent,))
    assert (excusing.freshness, excusing.missing, excusing.silent_regions) == ("fresh", (), (silent,))
    assert [(each.freshness, each.silent_regions) for each in (next_step, other)] == [("fresh", ())] * 2
    # What the others have is counted all the same.
    assert (served.watermark_ms, served.arms["blue"].requests) == (NOW - 1, 2)
