"""The event loop of the API asks no database: whatever is asked, a thread reads, so that no one waits for another."""

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import httpx
import pytest

from control_plane.describe import operations
from infra.operations import Question
from tests.support.api import RunningApi, Stage, done

pytestmark = pytest.mark.asyncio(loop_scope="module")

OF_SQLITE = (sqlite3.Connection, sqlite3.Cursor)


@contextmanager
def calls_of_sqlite() -> Iterator[list[str]]:
    """Note each call of SQLite in this thread, which runs the API's loop too, until the block is left."""
    noted: list[str] = []

    def profile(frame: FrameType, event: str, called: Any) -> None:  # noqa: ANN401  any built-in function
        if event == "c_call" and isinstance(getattr(called, "__self__", None), OF_SQLITE):
            noted.append(f"{called.__name__} in {frame.f_code.co_qualname}")

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        yield noted
    finally:
        sys.setprofile(before)


async def test_a_call_of_sqlite_is_noted() -> None:
    with calls_of_sqlite() as noted:
        sqlite3.connect(":memory:").execute("SELECT 1").close()

    assert [note.split()[0] for note in noted] == ["execute", "close"]


async def test_no_question_reads_the_store_on_the_event_loop(api: RunningApi, stage: Stage) -> None:
    questions = [each for group in operations() for each in group.operations if isinstance(each, Question)]
    answered: dict[str, int] = {}

    for question in questions:
        with calls_of_sqlite() as noted:
            answer = await api.admin.request(question.method, path_of(question, stage), json=body_of(question))
        answered[question.id] = answer.status_code
        assert noted == [], question.id

    assert {"find_endpoints", "show_endpoint", "find_models", "read_events", "find_principals"} <= {
        name for name, status in answered.items() if status == httpx.codes.OK
    }


async def test_access_changes_without_a_look_at_the_store_on_the_event_loop(api: RunningApi) -> None:
    with calls_of_sqlite() as noted:
        made = await done(api.admin.post("/v1/principals", json={"kind": "service", "name": "ci", "role": "viewer"}))
        await done(api.admin.post(f"/v1/principals/{made['id']}/role", json={"role": "operator"}))

    assert noted == []


def path_of(question: Question, stage: Stage) -> str:
    things = {
        "endpoint": "digits",
        "model": "digits",
        "number": "1",
        "version_id": stage.version_id,
        "instance_id": stage.instance_id,
    }
    return question.plain_path.format_map({each.name: things.get(each.name, "x") for each in question.placeholders})


def body_of(question: Question) -> dict[str, Any] | None:
    if not question.has_body:
        return None
    epoch = {"endpoint": "digits", "epoch": 1, "candidate": "x", "baseline": "y"}
    bodies = {"endpoints": ["digits"], "prediction_ids": ["x"], "sql": "SELECT 1", "items": [epoch]}
    asks = question.asks
    assert asks is not None
    return {name: bodies[name] for name in asks.__struct_fields__ if name in bodies}
