"""What callers did and were told, and what that comes to, counted by hand."""

import math
import random
import time
from collections import Counter
from typing import Any

from projections.rollups.roller import Roller
from projections.rollups.spans import DAY_MS, HOUR_MS, MINUTE_MS, Kind, floor
from projections.store import ClickHouseStore
from projections.views import projector_of
from schemas.measurement import Arm, MeasureEpoch
from schemas.topics import FEEDBACK, OBSERVATIONS, REQUESTS
from tests.integration.projections.conftest import sink_into
from tests.support.fakes import FakeClock
from tests.support.read_side_messages import (
    EPOCH,
    feedback_message,
    observation_row,
    observations,
    request_row,
    requests,
)

NOW = floor(time.time_ns() // 1_000_000, DAY_MS) + 5 * HOUR_MS + 7 * MINUTE_MS + 12_345
ARMS = ("blue", "green")
# Kept exactly, so that what is expected needs no knowledge of how numbers are kept.
DURATIONS = (5.0, 12.5, 50.0, 80.0, 200.0)
LOSSES = (0.25, 0.3, 0.5, math.inf, -math.inf, math.nan)
QUESTION = MeasureEpoch(
    epoch=EPOCH,
    candidate="green",
    baseline="blue",
    latency_threshold_ms=50.0,
    feedback_name="label",
    loss_name="loss",
    loss_threshold=0.3,
    rating_name="loss",
    rating_threshold=0.3,
    first_token_threshold_ms=200.0,
    between_tokens_threshold_ms=20.0,
    answer_tokens_threshold=40,
    truncation=True,
)


class Story:
    """What callers did and were told, and what that comes to."""

    def __init__(self, store: ClickHouseStore) -> None:
        self._store = store
        self._offset = 0
        self._number = 0
        self._rows: dict[int, dict[str, Any]] = {}
        self._answers: dict[int, dict[str, Any]] = {}
        self._words: dict[tuple[int, str], str] = {}

    async def serve(self, started: list[int], *, chance: random.Random, at_ms: int = NOW) -> list[int]:
        """Serve a request at each time, and return their numbers."""
        numbers = []
        for started_at_ms in started:
            self._number += 1
            numbers.append(self._number)
            duration = chance.choice(DURATIONS)
            arm = chance.choice(ARMS)
            self._rows[self._number] = request_row(
                self._number,
                started_at_ms=started_at_ms,
                ended_at_ms=started_at_ms + int(duration),
                duration_ms=duration,
                status=chance.choice((200, 200, 200, 404, 503)),
                drawn_deployment_id=chance.choice(("", arm, *ARMS)),
                deployment_id=arm,
                epoch=chance.choice((EPOCH, EPOCH, EPOCH + 1)),
                role=chance.choice(("primary", "primary", "shadow")),
            )
        await self._send(REQUESTS.name, [self._rows[number] for number in numbers], at_ms=at_ms)
        return numbers

    async def observe(self, numbers: list[int], *, chance: random.Random, at_ms: int = NOW, **changes: Any) -> None:  # noqa: ANN401
        """Capture answers."""
        for number in numbers:
            self._answers[number] = observation_row(
                number,
                started_at_ms=self._rows[number]["started_at_ms"],
                deployment_id=self._rows[number]["deployment_id"],
                prediction=chance.choice(("1", "2", "")),
                first_token_ms=chance.choice((-1.0, 100.0, 208.0)),
                token_ms=chance.choice((-1.0, 10.0, 30.0)),
                tokens_out=chance.choice((-1, 30, 41)),
                finish_reason=chance.choice(("", "stop", "length")),
                **changes,
            )
        await self._send(OBSERVATIONS.name, [self._answers[number] for number in numbers], at_ms=at_ms)

    async def tell(self, numbers: list[int], name: str, values: tuple[str, ...], *, chance: random.Random) -> None:
        """Tell a truth or a number of predictions; the last word counts."""
        messages = []
        for number in numbers:
            self._words[number, name] = value = chance.choice(values)
            self._offset += 1
            started_at_ms = self._rows[number]["started_at_ms"]
            messages.append(
                feedback_message(
                    number,
                    started_at_ms=started_at_ms,
                    value=value,
                    name=name,
                    received_at_ms=NOW + self._offset,
                    offset=self._offset,
                )
            )
        await sink_into(self._store, projector_of(FEEDBACK)).consume(messages)

    def expected(self) -> dict[str, Arm]:
        """Count by hand what a measurement of the epoch must find."""
        return {arm: self._arm(arm) for arm in ARMS}

    def _arm(self, arm: str) -> Arm:
        counted = [row for row in self._rows.values() if row["role"] == "primary" and row["epoch"] == EPOCH]
        drawn = [row for row in counted if (row["drawn_deployment_id"] or row["deployment_id"]) == arm]
        durations = sorted(row["duration_ms"] for row in drawn)
        numbers = [number for number, row in self._rows.items() if row in counted and row["deployment_id"] == arm]
        answers = [self._answers[number] for number in numbers if number in self._answers]
        losses = [float(self._words[number, "loss"]) for number in numbers if (number, "loss") in self._words]
        labels = Counter(
            self._answers[number]["prediction"] == self._words[number, "label"]
            for number in numbers
            if (number, "label") in self._words and self._answers.get(number, {}).get("prediction")
        )

        def known(column: str, limit: float) -> tuple[int, int]:
            values = [answer[column] for answer in answers if answer[column] >= 0]
            return len(values), sum(value > limit for value in values)

        streams, late = known("first_token_ms", 200)
        paced, slow_between = known("token_ms", 20)
        counted_tokens, long = known("tokens_out", 40)
        return Arm(
            requests=len(drawn),
            errors=sum(row["status"] >= 500 or row["deployment_id"] != arm for row in drawn),
            refused=sum(row["status"] == 404 and row["deployment_id"] == arm for row in drawn),
            slow=sum(duration > 50 for duration in durations),
            labelled=labels.total(),
            wrong=labels[False],
            scored=len(losses),
            over=sum(not loss <= 0.3 for loss in losses),
            rated=len(losses),
            under=sum(not loss >= 0.3 for loss in losses),
            streams=streams,
            late=late,
            paced=paced,
            slow_between=slow_between,
            answers=sum(answer["finish_reason"] != "" for answer in answers),
            truncated=sum(answer["finish_reason"] == "length" for answer in answers),
            counted=counted_tokens,
            long=long,
        )

    async def _send(self, topic: str, rows: list[dict[str, Any]], *, at_ms: int) -> None:
        make = requests if topic == REQUESTS.name else observations
        self._offset += 1
        projector = projector_of(REQUESTS if topic == REQUESTS.name else OBSERVATIONS)
        await sink_into(self._store, projector).consume([make(rows, at_ms=at_ms, offset=self._offset)])


def roller_on(store: ClickHouseStore, *, now_ms: int = NOW) -> Roller:
    kept_ms: dict[Kind, int] = {"requests": 7 * DAY_MS, "predictions": 30 * DAY_MS}
    return Roller(store, clock=FakeClock(now_ms=now_ms), kept_ms=kept_ms)
