"""What is wrong with feedback, counted on the real engine: repeated, corrected, contradicted, late, of no use."""

import time

import msgspec
import pytest

from projections.errors import BadQuery
from projections.feedback_history.queries import FeedbackOfSource, feedback_of_workspace, feedback_on_endpoint
from projections.messages import Message
from projections.reading import Reader
from projections.store import ClickHouseStore
from projections.views import projector_of
from schemas.events.endpoints import TrafficShifted
from schemas.observations import Feedback
from schemas.topics import FEEDBACK, OBSERVATIONS, REGISTRY_EVENTS, REQUESTS
from tests.integration.projections.conftest import sink_into
from tests.support.read_side_messages import (
    ENDPOINT,
    EPOCH,
    WORKSPACE,
    event_message,
    observation_row,
    observations,
    prediction_id,
    request_row,
    requests,
)

AT_MS = time.time_ns() // 1_000_000 - 60_000
ENDED_MS = AT_MS + 10_000


class Told:
    """Feedback in the order of the log."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    def say(self, number: int, value: str, *, source: str = "api", after_ms: int = 1_000, name: str = "label") -> None:
        feedback = Feedback(
            workspace=WORKSPACE,
            prediction_id=prediction_id(AT_MS + number, number),
            source=source,
            name=name,
            value=value,
            observed_at_ms=AT_MS,
            received_at_ms=AT_MS + after_ms,
        )
        offset = len(self.messages)
        self.messages.append(
            Message(
                topic=FEEDBACK.name,
                partition=0,
                offset=offset,
                timestamp_ms=AT_MS + after_ms,
                key=feedback.prediction_id.encode(),
                value=msgspec.json.encode(feedback),
            )
        )


async def serve(store: ClickHouseStore, count: int, *, unanswered: int = 0) -> None:
    rows = [request_row(number, started_at_ms=AT_MS + number) for number in range(count)]
    answers = [
        observation_row(number, started_at_ms=AT_MS + number, prediction="3", prediction_datatype="INT64")
        for number in range(count - unanswered)
    ]
    await sink_into(store, projector_of(REQUESTS)).consume([requests(rows, at_ms=ENDED_MS)])
    await sink_into(store, projector_of(OBSERVATIONS)).consume([observations(answers, at_ms=ENDED_MS)])


async def shift(store: ClickHouseStore, epoch: int, *, after_ms: int) -> None:
    event = TrafficShifted(allocations=(), reason="next step", rollout_id=None, step=None)
    message = event_message(event, stream=ENDPOINT, version=epoch, position=epoch, at_ms=AT_MS + after_ms)
    await sink_into(store, projector_of(REGISTRY_EVENTS)).consume([message])


async def test_what_is_said_of_an_endpoint_is_counted_by_what_is_wrong_with_it(
    store: ClickHouseStore, reader: Reader
) -> None:
    told = Told()
    await serve(store, 8, unanswered=1)
    await shift(store, EPOCH, after_ms=-1)
    await shift(store, EPOCH + 1, after_ms=5_000)
    for number in (0, 1, 7):
        told.say(number, "3")
    for value in ("3", "3", "4", "3"):
        told.say(2, value)
    told.say(3, "3", source="expert")
    told.say(3, "5", source="crowd")
    told.say(4, "cat")
    told.say(5, "3", after_ms=5_000)
    told.say(6, "3", after_ms=4_999)
    told.say(6, "8", after_ms=6_000)
    told.say(0, "0.5", name="loss")
    sink = sink_into(store, projector_of(FEEDBACK))
    await sink.consume(told.messages)
    # Kafka may deliver again, which no caller did.
    await sink_into(store, projector_of(FEEDBACK)).consume(told.messages[3:9])

    found = await feedback_on_endpoint(reader, ENDPOINT, workspace=WORKSPACE, since_ms=AT_MS)

    label, loss = found.items
    assert msgspec.structs.asdict(label) == {
        "feedback_name": "label",
        "told": 8,
        "messages": 13,
        "repetitions": 1,
        "corrections": 3,
        "contradicted": 1,
        "late": 1,
        "unanswered": 1,
        "labels": 6,
        "numbers": 7,
        "unreadable": 1,
    }
    assert (loss.feedback_name, loss.told, loss.messages) == ("loss", 1, 1)


async def test_a_number_is_of_use_to_gates_on_losses_whatever_the_type_of_the_answer(
    store: ClickHouseStore, reader: Reader
) -> None:
    told = Told()
    await serve(store, 6, unanswered=2)
    for number, value in enumerate(("0.5", "inf", "4.5", "n/a", "0.5", "n/a")):
        told.say(number, value, name="loss")
    for number, value in enumerate(("3", "3.0", "cat")):
        told.say(number, value, name="label")
    await sink_into(store, projector_of(FEEDBACK)).consume(told.messages)

    found = await feedback_on_endpoint(reader, ENDPOINT, workspace=WORKSPACE, since_ms=AT_MS)

    label, loss = found.items
    assert (label.labels, label.numbers, label.unreadable, label.unanswered) == (2, 2, 1, 0)
    # The answers are INT64. Of the two without an answer, one has a number.
    assert (loss.labels, loss.numbers, loss.unreadable, loss.unanswered) == (0, 4, 1, 2)


async def test_what_is_said_of_no_known_prediction_is_an_orphan(store: ClickHouseStore, reader: Reader) -> None:
    told = Told()
    await serve(store, 2)
    told.say(0, "3")
    told.say(1, "3", source="expert")
    for number in (10, 11, 11):
        told.say(number, "3", source="expert")
    # It began after the watermark, so its record may still come.
    told.say(int(ENDED_MS - AT_MS) + 1, "3", source="expert")
    await sink_into(store, projector_of(FEEDBACK)).consume(told.messages)

    found = await feedback_of_workspace(reader, workspace=WORKSPACE, since_ms=AT_MS)
    elsewhere = await feedback_of_workspace(reader, workspace="another", since_ms=AT_MS)

    api, expert = found.items
    assert api == FeedbackOfSource(
        feedback_name="label", source="api", told=1, messages=1, repetitions=0, corrections=0, orphans=0
    )
    assert (expert.told, expert.messages, expert.repetitions, expert.orphans) == (4, 5, 1, 2)
    assert elsewhere.items == []


@pytest.mark.parametrize("since_ms", [-1, 0, 4_000_000_000_000])
async def test_a_time_that_is_none_of_the_last_days_is_refused(reader: Reader, since_ms: int) -> None:
    with pytest.raises(BadQuery) as refusal:
        await feedback_of_workspace(reader, workspace=WORKSPACE, since_ms=since_ms)

    assert refusal.value.field == "since_ms"
