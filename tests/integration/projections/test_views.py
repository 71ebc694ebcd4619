import time

import msgspec
import pytest

from projections.errors import BadQuery, PredictionUnknown, ViewStale
from projections.measurement.queries import measure_epoch, measure_epochs
from projections.messages import Message
from projections.predictions.queries import who_served, who_served_each
from projections.quality.queries import quality_of_endpoint
from projections.reading import Reader
from projections.rollout_timeline.queries import timeline_of_rollout
from projections.serving_metrics.queries import metrics_of_endpoint
from projections.store import ClickHouseStore
from projections.views import projector_of
from schemas.events import endpoints, rollouts
from schemas.identifiers import kind_of
from schemas.measurement import Arm, Measured, MeasureEpoch, MeasureEpochOf
from schemas.topics import FEEDBACK, OBSERVATIONS, REGISTRY_EVENTS, REQUESTS
from tests.architecture.source_tree import ROOT
from tests.integration.projections.conftest import reader_at, sink_into
from tests.support.read_side_messages import (
    ENDPOINT,
    EPOCH,
    ROLLOUT,
    WORKSPACE,
    batch_message,
    event_message,
    feedback_message,
    headers,
    observation_row,
    observations,
    prediction_id,
    request_row,
    requests,
)

QUESTION = MeasureEpoch(
    epoch=EPOCH, candidate="green", baseline="blue", latency_threshold_ms=50.0, feedback_name="label"
)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def traffic(*, step: int | None = 0) -> endpoints.TrafficShifted:
    whole = (endpoints.BucketRange(0, endpoints.BUCKETS),)
    allocation = endpoints.Allocation(deployment_id="blue", weight_percent=100.0, ranges=whole)
    return endpoints.TrafficShifted(allocations=(allocation,), reason="first step", rollout_id=ROLLOUT, step=step)


async def measured(reader: Reader) -> Measured:
    return await measure_epoch(reader, QUESTION, workspace=WORKSPACE, endpoint_id=ENDPOINT)


async def test_a_measurement_counts_what_ended_by_the_watermark(store: ClickHouseStore) -> None:
    now = now_ms()
    rows = [
        request_row(1, started_at_ms=now - 500),
        request_row(2, started_at_ms=now - 490, status=503, response_flags="UF"),
        request_row(3, started_at_ms=now - 480, status=0, response_flags="DC"),
        request_row(4, started_at_ms=now - 470, status=404),
        request_row(5, started_at_ms=now - 460, deployment_id="green", duration_ms=80.0),
        request_row(6, started_at_ms=now - 450, role="shadow", deployment_id="green"),
        request_row(7, started_at_ms=now - 440, role="probe"),
        request_row(8, started_at_ms=now - 430, epoch=EPOCH + 1),
        request_row(9, started_at_ms=now + 20),
        request_row(10, started_at_ms=now - 420, kind="health", status=503),
        request_row(11, started_at_ms=now - 410, kind="metadata"),
        request_row(12, started_at_ms=now - 400, kind="other", status=405),
    ]
    await sink_into(store, projector_of(REQUESTS)).consume([requests(rows, at_ms=now)])

    found = await measured(reader_at(store, now))

    assert (found.freshness, found.watermark_ms) == ("fresh", now - 1)
    assert found.arms == {
        "blue": Arm(requests=4, errors=2, refused=1, p50_ms=5.0, p95_ms=5.0, p99_ms=5.0),
        "green": Arm(requests=1, slow=1, p50_ms=80.0, p95_ms=80.0, p99_ms=80.0),
    }


async def test_rows_that_were_shipped_twice_count_once(store: ClickHouseStore, reader: Reader) -> None:
    now = now_ms()
    rows = [request_row(number, started_at_ms=now - 500 + number) for number in range(10)]
    observed = [observation_row(number, started_at_ms=now - 500 + number, prediction="3") for number in range(10)]
    labels = [
        feedback_message(number, started_at_ms=now - 500 + number, value="3", received_at_ms=now, offset=number)
        for number in range(10)
    ]
    sink = sink_into(store, projector_of(REQUESTS))
    await sink.consume([requests(rows, at_ms=now)])
    await sink.consume([requests(list(reversed(rows)), at_ms=now, offset=1, source="shipper-2")])
    for offset in (0, 1):
        await sink_into(store, projector_of(OBSERVATIONS)).consume([observations(observed, at_ms=now, offset=offset)])
    await sink_into(store, projector_of(FEEDBACK)).consume(labels)
    again = [msgspec.structs.replace(one, offset=one.offset + 10) for one in reversed(labels)]
    await sink_into(store, projector_of(FEEDBACK)).consume(again)

    blue = (await measured(reader)).arms["blue"]

    assert (blue.requests, blue.labelled, blue.wrong) == (10, 10, 0)


async def test_what_a_backup_answers_counts_as_an_error_of_the_arm_that_was_drawn(
    store: ClickHouseStore, reader: Reader
) -> None:
    now = now_ms()
    rows = [
        request_row(1, started_at_ms=now - 500, drawn_deployment_id="blue"),
        request_row(2, started_at_ms=now - 490, deployment_id="green", drawn_deployment_id="green"),
        request_row(3, started_at_ms=now - 480, deployment_id="blue", drawn_deployment_id="green"),
    ]
    await sink_into(store, projector_of(REQUESTS)).consume([requests(rows, at_ms=now)])

    arms = (await measured(reader)).arms
    stood_in = await who_served(reader, prediction_id(now - 480, 3), workspace=WORKSPACE)

    assert (arms["blue"].requests, arms["blue"].errors) == (1, 0)
    assert (arms["green"].requests, arms["green"].errors) == (2, 1)
    assert (stood_in.served.deployment_id, stood_in.served.drawn_deployment_id) == ("blue", "green")
    assert (stood_in.served.region, stood_in.served.instance_region) == ("local", "local")


async def test_observations_are_kept_as_long_as_their_policy_says(store: ClickHouseStore) -> None:
    three_days_ago = now_ms() - 3 * 24 * 60 * 60 * 1000
    rows = [
        observation_row(days, started_at_ms=three_days_ago, prediction="3", retention_days=days, policy_version=days)
        for days in (1, 2, 5)
    ]
    await sink_into(store, projector_of(OBSERVATIONS)).consume([observations(rows, at_ms=three_days_ago)])

    await store.command("OPTIMIZE TABLE observation_records FINAL")

    kept = await store.select("SELECT policy_version, retention_days FROM observation_records")
    assert kept == [{"policy_version": 5, "retention_days": 5}]


async def test_the_counts_of_a_source_only_grow(store: ClickHouseStore) -> None:
    now = now_ms()
    for offset, (seen, unsampled) in enumerate([(10, 4), (30, 9), (20, 6)]):
        described = headers(source="boot-1", kind="observations", batch=offset, rows=0, closed_until_ms=now)
        counted = msgspec.structs.replace(described, seen=seen, unsampled=unsampled)
        message = batch_message([], described=counted, offset=offset, timestamp_ms=now)
        await sink_into(store, projector_of(OBSERVATIONS)).consume([message])

    assert await store.select("SELECT seen, unsampled FROM sources FINAL") == [{"seen": 30, "unsampled": 9}]


async def test_a_source_keeps_its_log_though_an_earlier_release_sent_batches_of_it(store: ClickHouseStore) -> None:
    for offset, log_id in enumerate(["", "log-1", ""]):
        described = headers(source="boot-1", kind="observations", batch=offset, rows=0, closed_until_ms=now_ms())
        said = msgspec.structs.replace(described, log_id=log_id)
        message = batch_message([], described=said, offset=offset, timestamp_ms=now_ms())
        await sink_into(store, projector_of(OBSERVATIONS)).consume([message])

    assert await store.select("SELECT log_id FROM sources FINAL") == [{"log_id": "log-1"}]


async def test_an_answer_that_the_policy_withheld_is_neither_right_nor_wrong(
    store: ClickHouseStore, reader: Reader
) -> None:
    now = now_ms()
    rows = [request_row(number, started_at_ms=now - 500 + number) for number in range(4)]
    observed = [
        observation_row(number, started_at_ms=now - 500 + number, prediction=text)
        for number, text in enumerate(["3", "7", "", ""])
    ]
    labels = [
        feedback_message(number, started_at_ms=now - 500 + number, value="3", received_at_ms=now, offset=number)
        for number in range(4)
    ]
    await sink_into(store, projector_of(REQUESTS)).consume([requests(rows, at_ms=now)])
    await sink_into(store, projector_of(OBSERVATIONS)).consume([observations(observed, at_ms=now)])
    await sink_into(store, projector_of(FEEDBACK)).consume(labels)

    blue = (await measured(reader)).arms["blue"]

    assert (blue.requests, blue.labelled, blue.wrong) == (4, 2, 1)


async def test_what_a_source_lost_can_be_asked_as_the_how_to_says(store: ClickHouseStore) -> None:
    page = (ROOT / "docs/how_to/choose_what_is_captured.md").read_text(encoding="utf-8")
    question = page.split("```sql\n")[1].split("```")[0]
    now = now_ms()
    rows = [observation_row(number, started_at_ms=now - 500, prediction="3") for number in range(3)]
    described = headers(source="boot-1", kind="observations", batch=0, rows=3, closed_until_ms=now)
    counted = msgspec.structs.replace(described, seen=10, unsampled=5)
    message = batch_message(rows, described=counted, offset=0, timestamp_ms=now)
    await sink_into(store, projector_of(OBSERVATIONS)).consume([message])

    assert await store.select(question) == [{"source": "boot-1", "lost": 2}]


async def test_labels_that_come_late_change_the_accuracy(store: ClickHouseStore, reader: Reader) -> None:
    now = now_ms()
    sink = sink_into(store, projector_of(FEEDBACK))
    rows = [request_row(number, started_at_ms=now - 500 + number) for number in range(4)]
    observed = [
        observation_row(number, started_at_ms=now - 500 + number, prediction=text)
        for number, text in enumerate(["3", "7.0", "True", "cat"])
    ]
    await sink_into(store, projector_of(REQUESTS)).consume([requests(rows, at_ms=now)])
    await sink_into(store, projector_of(OBSERVATIONS)).consume([observations(observed, at_ms=now)])
    before = (await measured(reader)).arms["blue"]

    def label(number: int, value: str, *, offset: int) -> Message:
        at_ms = now - 500 + number
        return feedback_message(number, started_at_ms=at_ms, value=value, received_at_ms=now + offset, offset=offset)

    await sink.consume([label(number, text, offset=number) for number, text in enumerate(["3.0", "7", "true", "dog"])])
    after = (await measured(reader)).arms["blue"]
    await sink.consume([label(3, "cat", offset=4), label(0, "8", offset=5)])
    corrected = (await measured(reader)).arms["blue"]
    quality = await quality_of_endpoint(
        reader, ENDPOINT, workspace=WORKSPACE, feedback_name="label", since_ms=now - 60_000, bucket_ms=3_600_000
    )

    assert (before.labelled, before.wrong) == (0, 0)
    assert (after.labelled, after.wrong) == (4, 1)
    assert (corrected.labelled, corrected.wrong) == (4, 1)
    assert sum(item.labelled for item in quality.items) == 4
    assert sum(item.correct for item in quality.items) == 3
    assert {item.version for item in quality.items} == {"digits/1"}


async def test_without_a_source_there_is_no_data_and_with_a_silent_one_the_view_is_late(
    store: ClickHouseStore, reader: Reader
) -> None:
    before = await measured(reader)
    long_ago = now_ms() - 10_000
    await sink_into(store, projector_of(REQUESTS)).consume([requests([], at_ms=long_ago)])

    after = await measured(reader)

    assert (before.freshness, before.watermark_ms) == ("no_data", None)
    assert (after.freshness, after.waiting_for) == ("late", ("shipper-1",))


async def test_a_lost_host_makes_late_what_it_served_and_nothing_else(store: ClickHouseStore) -> None:
    now, lost_ms = now_ms(), now_ms() - 30_000
    elsewhere = [observation_row(1, started_at_ms=lost_ms, prediction="3", endpoint_id="endpoint-2")]
    here = [observation_row(2, started_at_ms=now - 500, prediction="3")]
    await sink_into(store, projector_of(REQUESTS)).consume([requests([], at_ms=now)])
    sink = sink_into(store, projector_of(OBSERVATIONS))
    await sink.consume([observations([], at_ms=lost_ms, source="boot-here")])
    await sink.consume([observations(elsewhere, at_ms=lost_ms, source="boot-lost", offset=1)])
    await sink.consume([observations(here, at_ms=now, source="boot-here", offset=2)])
    asked = [
        MeasureEpochOf(endpoint=endpoint, epoch=EPOCH, candidate="green", baseline="blue", feedback_name="label")
        for endpoint in (ENDPOINT, "endpoint-2")
    ]

    mine, its = await measure_epochs(reader_at(store, now), asked, workspace=WORKSPACE)

    assert (mine.freshness, mine.waiting_for) == ("fresh", ())
    assert (its.freshness, its.waiting_for) == ("late", ("boot-lost",))


async def test_metrics_tell_errors_by_class(store: ClickHouseStore) -> None:
    now = now_ms()
    # The third and fourth began well and broke off: at the engine's end, and for the time that nothing came.
    statuses = [(200, ""), (500, ""), (200, "UC"), (200, "SI"), (503, "UF,URX"), (504, "UT"), (0, "DC"), (422, "")]
    rows = [
        request_row(number, started_at_ms=now - 500, status=status, response_flags=flags)
        for number, (status, flags) in enumerate(statuses)
    ]
    await sink_into(store, projector_of(REQUESTS)).consume([requests(rows, at_ms=now)])

    found = await metrics_of_endpoint(
        reader_at(store, now), ENDPOINT, workspace=WORKSPACE, since_ms=now - 60_000, bucket_ms=3_600_000
    )

    assert sum(item.requests for item in found.items) == len(statuses)
    assert found.items[0].errors == {"engine": 1, "connection": 2, "timeout": 2, "aborted": 1, "caller": 1}
    assert found.watermark.freshness == "fresh"


async def test_a_4xx_is_refused_whatever_else_the_gateway_says_of_it(store: ClickHouseStore) -> None:
    now = now_ms()
    # A caller that gave up, a body too large for one that stopped reading, a caller that sent nothing more.
    endings = [
        (422, ""),
        (499, "DC"),
        (499, ""),
        (413, "UC"),
        (400, "UR"),
        (408, "SI"),
        (503, "UF"),
        (0, "DC"),
        (200, ""),
    ]
    rows = [
        request_row(number, deployment_id="green", started_at_ms=now - 500, status=status, response_flags=flags)
        for number, (status, flags) in enumerate(endings)
    ]
    await sink_into(store, projector_of(REQUESTS)).consume([requests(rows, at_ms=now)])

    arm = (await measured(reader_at(store, now))).arms["green"]

    assert (arm.requests, arm.refused, arm.errors) == (len(endings), 6, 2)


async def test_buckets_without_end_are_refused(reader: Reader) -> None:
    with pytest.raises(BadQuery) as refused:
        await metrics_of_endpoint(reader, ENDPOINT, workspace=WORKSPACE, since_ms=0, bucket_ms=1)

    assert refused.value.field == "bucket_ms"


async def test_a_timeline_holds_the_rollout_and_what_its_epochs_met(store: ClickHouseStore, reader: Reader) -> None:
    now = now_ms()
    step = rollouts.StepStarted(step=0, weight_percent=5.0, epoch=EPOCH, reason="warm")
    applied = endpoints.TrafficApplied(epoch=EPOCH, region="local", gateway_id="g", applied_at="t")
    elsewhere = endpoints.TrafficApplied(epoch=EPOCH + 1, region="local", gateway_id="g", applied_at="t")
    messages = [
        event_message(traffic(), stream=ENDPOINT, version=EPOCH, position=1, at_ms=now),
        event_message(step, stream=ROLLOUT, version=2, position=2, at_ms=now),
        event_message(applied, stream=ENDPOINT, version=8, position=5, at_ms=now + 40),
        event_message(elsewhere, stream=ENDPOINT, version=9, position=6, at_ms=now + 50),
    ]
    sink = sink_into(store, projector_of(REGISTRY_EVENTS))
    await sink.consume(messages)
    await sink_into(store, projector_of(REGISTRY_EVENTS)).consume(list(reversed(messages))[:2])

    found = await timeline_of_rollout(reader, ROLLOUT, workspace=WORKSPACE, min_position=6, wait_ms=0)

    assert [(item.position, item.epoch) for item in found.items] == [(1, EPOCH), (2, EPOCH), (5, EPOCH)]
    assert found.items[1].summary == "Step 0 started: candidate gets 5 %"
    assert found.position == 6
    assert kind_of(ROLLOUT) is not None


async def test_a_view_that_is_behind_says_so(store: ClickHouseStore, reader: Reader) -> None:
    step = rollouts.RolloutPaused(step=0, reason="by hand")
    await sink_into(store, projector_of(REGISTRY_EVENTS)).consume(
        [event_message(step, stream=ROLLOUT, version=2, position=4, at_ms=now_ms())]
    )

    with pytest.raises(ViewStale) as stale:
        await timeline_of_rollout(reader, ROLLOUT, workspace=WORKSPACE, min_position=5, wait_ms=60)

    assert (stale.value.status, stale.value.field) == (503, "min_position")


async def test_who_served_is_told_from_the_record_and_the_log(store: ClickHouseStore, reader: Reader) -> None:
    now = now_ms()
    rows = [
        request_row(1, started_at_ms=now - 500, role="shadow", deployment_id="green", byte_offset=1),
        request_row(1, started_at_ms=now - 500),
        request_row(2, started_at_ms=now - 400),
    ]
    event = event_message(traffic(), stream=ENDPOINT, version=EPOCH, position=3, at_ms=now)
    label = feedback_message(1, started_at_ms=now - 500, value="3", received_at_ms=now, offset=0)
    await sink_into(store, projector_of(REQUESTS)).consume([requests(rows, at_ms=now)])
    await sink_into(store, projector_of(REGISTRY_EVENTS)).consume([event])
    await sink_into(store, projector_of(FEEDBACK)).consume([label])
    known, other, unknown = (prediction_id(now - 500, 1), prediction_id(now - 400, 2), prediction_id(now - 300, 3))

    one = await who_served(reader, known, workspace=WORKSPACE)
    many = await who_served_each(reader, [other, unknown, known], workspace=WORKSPACE)

    assert (one.served.deployment_id, one.served.version, one.served.epoch) == ("blue", "digits/1", EPOCH)
    assert bytes(one.event or b"") == event.value
    assert [(item.name, item.value) for item in one.feedback] == [("label", "3")]
    assert [item.prediction_id for item in many.items] == [other, known]
    assert many.unknown == [unknown]
    assert many.events[f"{ENDPOINT}/{EPOCH}"].position == 3


async def test_an_unknown_prediction_and_a_text_that_is_none_are_told_apart(reader: Reader) -> None:
    with pytest.raises(PredictionUnknown):
        await who_served(reader, prediction_id(now_ms(), 1), workspace=WORKSPACE)
    with pytest.raises(BadQuery):
        await who_served(reader, "x' OR 1", workspace=WORKSPACE)
    with pytest.raises(BadQuery):
        await who_served_each(reader, ["x"], workspace=WORKSPACE)
