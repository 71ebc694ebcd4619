"""A monitor learns what an endpoint was asked, and says what has changed; what has not changed stays quiet."""

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from rollbook import Problem, Rollbook
from rollbook.resources import Endpoint, Monitor, ReferenceTraffic
from tests.support.captured_past import MINUTE_MS, Row, ship_past
from tests.support.digits_service import serve_digits
from tests.support.eventually import eventually
from tests.support.stack import RunningStack

FROM, CHANGED, UNTIL = 150, 20, 50
"""How many minutes ago the past begins, the amounts change, and the reference ends."""
CALM, DRIFTED = "cities", "amounts"


def minutes_now() -> int:
    return int(time.time() * 1_000) // MINUTE_MS


def rows_of(minute: int, *, now: int) -> list[Row]:
    """Make 100 requests; amounts are higher by a standard deviation since the change."""
    random = np.random.default_rng(minute)
    amounts = random.normal(100, 20, 100) + (20 if minute >= now - CHANGED else 0)
    cities = random.choice(["Berlin", "Paris", "Rome"], 100, p=[0.5, 0.3, 0.2])
    return [{"amount": float(amount), "city": str(city)} for amount, city in zip(amounts, cities, strict=True)]


@pytest.fixture(scope="module")
def past(stack: RunningStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Endpoint, ReferenceTraffic]]:
    with stack.client() as rollbook:
        serve_digits(stack, rollbook, "watched", directory=tmp_path_factory.mktemp("watched"))
        endpoint, now = rollbook.endpoints.get("watched"), minutes_now()
        asyncio.run(
            ship_past(
                stack.kafka_bootstrap,
                lambda minute: rows_of(minute, now=now),
                minutes=range(now - FROM, now),
                endpoint_id=endpoint.id,
                deployment_id=endpoint.allocations[0].deployment_id,
            )
        )
        eventually(lambda: _is_there(rollbook, now), "the past is in the view", within_s=180, poll_s=1)
        yield endpoint, ReferenceTraffic(from_ms=(now - FROM) * MINUTE_MS, until_ms=(now - UNTIL) * MINUTE_MS)


def _is_there(rollbook: Rollbook, now: int) -> bool:
    found = rollbook.endpoints.feature_summaries("watched", (now - 1) * MINUTE_MS, now * MINUTE_MS, window_ms=MINUTE_MS)
    return any(each.feature == "input.amount" for each in found.items)


def answered(rollbook: Rollbook, name: str) -> Monitor:
    def seen() -> Monitor | None:
        found = rollbook.monitors.get(name)
        return found if found.judged_at is not None else None

    found = eventually(seen, f"an answer of {name}", within_s=180, poll_s=0.5)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def monitors(stack: RunningStack, past: tuple[Endpoint, ReferenceTraffic]) -> dict[str, Monitor]:
    _, reference = past
    with stack.client() as rollbook:
        rollbook.monitors.create(DRIFTED, "watched", reference, window_s=60)
        rollbook.monitors.create(CALM, "watched", reference, window_s=60, features=["input.city"])
        return {name: answered(rollbook, name) for name in (DRIFTED, CALM)}


def test_a_change_is_found_with_its_feature_its_size_and_when_it_began(
    monitors: dict[str, Monitor], past: tuple[Endpoint, ReferenceTraffic]
) -> None:
    found, (_, reference) = monitors[DRIFTED], past

    assert found.outcome == "drift"
    assert [each.feature for each in found.findings] == ["input.amount"]
    assert found.reason.startswith("input.amount is higher than in the reference: a value of now exceeds one of then")
    (amount,) = found.findings
    # Of two normals a standard deviation apart, P(new > old) is 0.76.
    assert amount.lower < 0.26 < amount.upper
    assert reference.until_ms is not None
    changed_ms = reference.until_ms + (UNTIL - CHANGED) * MINUTE_MS
    assert abs(amount.began_at_ms - changed_ms) <= 2 * MINUTE_MS
    assert found.reference is not None
    assert found.reference.features == ["input.amount", "input.city", "input.city~length", "input.city~words"]
    assert found.reference.rows == 100 * (FROM - UNTIL)


def test_what_has_not_changed_stays_quiet(monitors: dict[str, Monitor]) -> None:
    assert monitors[CALM].outcome == "no_drift"
    assert monitors[CALM].reason.startswith("No change beyond the bounds in ")


def test_the_answer_is_an_event_that_says_what_it_was_made_from(
    rollbook: Rollbook, monitors: dict[str, Monitor], tmp_path: Path
) -> None:
    (judged,) = rollbook.events(stream=monitors[DRIFTED].id, event_type="monitors.DriftJudged.v1", limit=10)

    look, reference = judged.event["data"]["look"], monitors[DRIFTED].reference
    assert reference is not None
    assert look["reference_digest"] == reference.digest
    assert look["log_evidence"] >= judged.event["data"]["log_threshold"]
    rollbook.artifacts.download(look["reference_digest"], tmp_path / "reference")
    kept = json.loads((tmp_path / "reference").read_bytes())
    assert len(kept) == reference.windows


def test_an_acknowledged_drift_is_gathered_anew(rollbook: Rollbook, monitors: dict[str, Monitor]) -> None:
    with pytest.raises(Problem) as calm:
        rollbook.monitors.acknowledge(CALM, "nothing to see")

    again = rollbook.monitors.acknowledge(DRIFTED, "prices rose")

    assert calm.value.code == "no-drift-to-acknowledge"
    assert (again.outcome, again.since_ms % MINUTE_MS) == (None, 0)
    assert again.since_ms > monitors[DRIFTED].judged_until_ms


def test_the_command_line_shows_monitors(stack: RunningStack, monitors: dict[str, Monitor]) -> None:
    listed = stack.answer("monitor", "list", "--endpoint", "watched")

    assert {each["name"] for each in listed} >= {CALM, DRIFTED}
    assert stack.answer("monitor", "show", CALM)["id"] == monitors[CALM].id
