"""A store whose log a newer release went on with: read on, and nothing is decided where it isn't understood."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import msgspec
import pytest

from control_plane.catalogue.rebuild import FORMAT
from control_plane.event_store.errors import NewerEventError
from control_plane.ports import EventStore
from schemas.envelope import encode
from schemas.identifiers import Kind
from tests.contracts.stores import open_sqlite
from tests.support.fakes import FakeClock
from tests.support.log_story import with_data, with_type
from tests.support.store import assign, context, look, model_id, register

NEWER = ("unknown type", "unknown form")


@asynccontextmanager
async def went_on_with(folder: Path, newer: str, *, format_of_rows: str = FORMAT) -> AsyncIterator[EventStore]:
    """Open a store with two models, the first of which got one more event by a newer release."""
    async with open_sqlite(folder, FakeClock(), []) as store:
        for number, name in enumerate(("digits", "letters"), start=1):
            await store.execute(context(), register(name, stream=model_id(number)))
        (*_, last) = store.read_stream(model_id(1))
    changed = with_type(last, "registry.Later.v9") if newer == "unknown type" else with_data(last, number="third")
    event = msgspec.structs.replace(changed.envelope, streamversion=3, id="event-3")
    with closing(sqlite3.connect(folder / "registry.sqlite")) as connection, connection:
        connection.execute(
            "INSERT INTO events (originator_id, originator_version, topic, state) VALUES (?, ?, ?, ?)",
            (event.stream, 3, event.type, encode(event)),
        )
        connection.execute("UPDATE properties SET value = ? WHERE name = 'catalogue_format'", (format_of_rows,))
    async with open_sqlite(folder, FakeClock(), []) as store:
        yield store


@pytest.mark.parametrize("newer", NEWER)
async def test_a_command_on_its_stream_is_refused_and_leaves_nothing(tmp_path: Path, newer: str) -> None:
    async with went_on_with(tmp_path, newer) as store:
        with pytest.raises(NewerEventError, match="this release can't read") as refused:
            await store.execute(context(), assign(model_id(1)))
        with pytest.raises(NewerEventError):
            await store.execute(context(), look(model_id(1)))

        assert refused.value.remedy == "run the release that wrote it, or a later one"
        assert [event.envelope.streamversion for event in store.read_stream(model_id(1))] == [1, 2, 3]


@pytest.mark.parametrize("newer", NEWER)
async def test_commands_on_other_streams_go_on(tmp_path: Path, newer: str) -> None:
    async with went_on_with(tmp_path, newer) as store:
        done = await store.execute(context(), assign(model_id(2)))

    assert done.reply.body == b"[1,2]"


@pytest.mark.parametrize("newer", NEWER)
async def test_the_log_is_read_to_its_end(tmp_path: Path, newer: str) -> None:
    async with went_on_with(tmp_path, newer) as store:
        assert [event.position for event in await store.log.read(after=0, limit=100)] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("newer", NEWER)
async def test_rows_that_are_made_anew_show_what_came_before(tmp_path: Path, newer: str) -> None:
    async with went_on_with(tmp_path, newer, format_of_rows="another") as store:
        rows = store.catalogue().find(Kind.MODEL, workspace="default")

    assert [(row.name, row.stream_version) for row in rows] == [("digits", 2), ("letters", 2)]
