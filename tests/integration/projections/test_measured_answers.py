"""What gates on losses, ratings and the answers of language models are judged by, on the real engine."""

import time
from typing import Any

import msgspec

from projections.measurement.queries import measure_epoch
from projections.reading import Reader
from projections.store import ClickHouseStore
from projections.views import projector_of
from schemas.measurement import Arm, MeasureEpoch
from schemas.topics import FEEDBACK, OBSERVATIONS, REQUESTS
from tests.integration.projections.conftest import reader_at, sink_into
from tests.support.read_side_messages import (
    ENDPOINT,
    EPOCH,
    WORKSPACE,
    feedback_message,
    observation_row,
    observations,
    request_row,
    requests,
)

QUESTION = MeasureEpoch(epoch=EPOCH, candidate="green", baseline="blue")


async def arms_of(reader: Reader, **thresholds: object) -> dict[str, Arm]:
    question = msgspec.structs.replace(QUESTION, **thresholds)
    return (await measure_epoch(reader, question, workspace=WORKSPACE, endpoint_id=ENDPOINT)).arms


def now_ms() -> int:
    return time.time_ns() // 1_000_000


async def test_losses_that_callers_report_count_by_the_threshold_and_the_last_word(
    store: ClickHouseStore, reader: Reader
) -> None:
    now = now_ms()
    rows = [request_row(number, started_at_ms=now - 500 + number) for number in range(6)]
    rows += [request_row(number, started_at_ms=now - 500 + number, deployment_id="green") for number in range(6, 9)]
    told = [(0, "3.5"), (1, "4.5"), (2, "5"), (2, "1e0"), (3, "no number"), (6, "9"), (7, "4"), (99, "7")]
    feedback = [
        feedback_message(
            number, started_at_ms=now - 500 + number, name="loss", value=value, received_at_ms=now, offset=offset
        )
        for offset, (number, value) in enumerate(told)
    ]
    await sink_into(store, projector_of(REQUESTS)).consume([requests(rows, at_ms=now)])
    await sink_into(store, projector_of(FEEDBACK)).consume(feedback)

    arms = await arms_of(reader, loss_name="loss", loss_threshold=4.0)

    assert {name: (arm.requests, arm.scored, arm.over) for name, arm in arms.items()} == {
        "blue": (6, 3, 1),
        "green": (3, 2, 1),
    }


async def test_ratings_count_below_their_threshold_and_beside_losses(store: ClickHouseStore, reader: Reader) -> None:
    now = now_ms()
    rows = [request_row(number, started_at_ms=now - 500 + number) for number in range(4)]
    told = [(0, "stars", "1"), (1, "stars", "3"), (2, "stars", "2.5"), (0, "loss", "9"), (3, "loss", "1")]
    feedback = [
        feedback_message(
            number, started_at_ms=now - 500 + number, name=name, value=value, received_at_ms=now, offset=offset
        )
        for offset, (number, name, value) in enumerate(told)
    ]
    await sink_into(store, projector_of(REQUESTS)).consume([requests(rows, at_ms=now)])
    await sink_into(store, projector_of(FEEDBACK)).consume(feedback)

    arms = await arms_of(reader, loss_name="loss", loss_threshold=4.0, rating_name="stars", rating_threshold=3.0)
    blue = arms["blue"]

    assert (blue.rated, blue.under) == (3, 2)
    assert (blue.scored, blue.over) == (2, 1)


# What is reported: how often it counts, as a loss above 4 and as a rating below 4.
REPORTED = {
    **dict.fromkeys(["inf", "Infinity", "+INF", " 1e999 ", "1" + "0" * 400, "4.04"], (1, 1, 0)),
    **dict.fromkeys(["-inf", "-Infinity", "-1e999", "0", "-4.04"], (1, 0, 1)),
    **dict.fromkeys(["nan", "NaN", "-nan", "+NAN"], (1, 1, 1)),
    "4": (1, 0, 0),
    **dict.fromkeys(["", "None", "true", "infinite", "not a number", "4,5"], (0, 0, 0)),
}


async def test_an_infinite_number_is_beyond_any_threshold_and_nan_is_never_good(
    store: ClickHouseStore, reader: Reader
) -> None:
    now = now_ms()
    named = {f"score-{number}": value for number, value in enumerate(REPORTED)}
    feedback = [
        feedback_message(0, started_at_ms=now - 500, name=name, value=value, received_at_ms=now, offset=offset)
        for offset, (name, value) in enumerate(named.items())
    ]
    await sink_into(store, projector_of(REQUESTS)).consume(
        [requests([request_row(0, started_at_ms=now - 500)], at_ms=now)]
    )
    await sink_into(store, projector_of(FEEDBACK)).consume(feedback)

    async def counted(name: str, **thresholds: float) -> tuple[int, int, int]:
        arm = (await arms_of(reader, loss_name=name, rating_name=name, **thresholds))["blue"]
        assert arm.rated == arm.scored
        return arm.scored, arm.over, arm.under

    found = {value: await counted(name, loss_threshold=4.0, rating_threshold=4.0) for name, value in named.items()}
    without_threshold = {value: await counted(name) for name, value in named.items()}

    assert found == REPORTED
    assert without_threshold == {value: (scored, 0, 0) for value, (scored, _, _) in REPORTED.items()}


async def test_answers_of_language_models_count_by_their_times_tokens_and_ends(store: ClickHouseStore) -> None:
    now = now_ms()
    rows = [request_row(number, started_at_ms=now - 500 + number) for number in range(6)]
    rows.append(request_row(6, started_at_ms=now - 490, deployment_id="green"))
    rows.append(request_row(7, started_at_ms=now - 480, epoch=EPOCH + 1))
    # A number, with the time to its first token and between its tokens, its tokens, and how it ended.
    answers = [
        (0, 90.0, 9.0, 20, "stop"),
        (1, 310.0, 11.0, 40, "length"),
        (2, 300.0, 10.0, 20, "length"),
        (3, -1.0, -1.0, 21, "stop"),
        (4, 900.0, -1.0, -1, "disconnected"),
        (5, -1.0, -1.0, -1, ""),
        (7, 999.0, 99.0, 999, "length"),
    ]

    def observed(number: int, first: float, between: float, tokens: int, end: str, **more: str) -> dict[str, Any]:
        started = {7: now - 480}.get(number, now - 500 + number)
        return observation_row(
            number,
            started_at_ms=started,
            prediction="",
            first_token_ms=first,
            token_ms=between,
            tokens_out=tokens,
            finish_reason=end,
            **more,
        )

    found = [observed(*answer) for answer in answers]
    # A shadow's copy has the prediction id of the primary answer.
    found.append(observed(0, 5_000.0, 500.0, 9_999, "length", deployment_id="shadow", boot_id="boot-2"))
    await sink_into(store, projector_of(REQUESTS)).consume([requests(rows, at_ms=now)])
    await sink_into(store, projector_of(OBSERVATIONS)).consume([observations(found, at_ms=now)])

    arms = await arms_of(
        reader_at(store, now),
        first_token_threshold_ms=300.0,
        between_tokens_threshold_ms=10.0,
        answer_tokens_threshold=20,
    )

    blue = arms["blue"]
    assert (blue.streams, blue.late) == (4, 2)
    assert (blue.paced, blue.slow_between) == (3, 1)
    assert (blue.answers, blue.truncated) == (5, 2)
    assert (blue.counted, blue.long) == (4, 2)
    assert (arms["green"].requests, arms["green"].answers) == (1, 0)
