"""What is particular to the store on SQLite."""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from control_plane.catalogue.rebuild import differences, rows_of
from control_plane.catalogue.sqlite_catalogue import SqliteCatalogue
from control_plane.errors import Unavailable
from control_plane.event_store.errors import AnswerErasedError
from control_plane.event_store.log_file import open_log_file
from control_plane.event_store.sqlite_store import SqliteStore
from control_plane.event_store.writer import Limits
from control_plane.ports import CatalogueRow, EventStore, Reply, UnitOfWork
from infra.errors import CannotStartError
from schemas.envelope import Sealed
from tests.contracts.stores import open_sqlite
from tests.support.fakes import FakeClock
from tests.support.store import AGGREGATES, PARTED, assign, context, look, model_id, refuse_after, register, reply

CANARY = "Ada Canary Lovelace"


async def test_positions_are_never_given_twice(tmp_path: Path) -> None:
    async with open_sqlite(tmp_path, FakeClock(), []) as store:
        await store.execute(context(), register("digits"))
    with closing(sqlite3.connect(tmp_path / "registry.sqlite")) as connection, connection:
        connection.execute("DELETE FROM events")
        connection.execute("DELETE FROM catalogue")

    async with open_sqlite(tmp_path, FakeClock(), []) as store:
        assert (await store.execute(context(), register("letters"))).position == 4


async def test_a_second_writer_is_refused_in_one_sentence(tmp_path: Path) -> None:
    async with open_sqlite(tmp_path, FakeClock(), []):
        with pytest.raises(CannotStartError, match="another process writes to"):
            async with open_sqlite(tmp_path, FakeClock(), []):
                pass


async def test_a_file_that_is_no_database_is_refused_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "registry.sqlite").write_text("certainly no database, but long enough to be looked at " * 20)

    with pytest.raises(CannotStartError, match="is not a database"):
        async with open_sqlite(tmp_path, FakeClock(), []):
            pass


async def test_a_missing_folder_is_refused_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "registry.sqlite").mkdir()

    with pytest.raises(CannotStartError, match="cannot be opened"):
        async with open_sqlite(tmp_path, FakeClock(), []):
            pass


async def test_the_catalogue_equals_one_rebuilt_from_the_log(tmp_path: Path) -> None:
    async with open_sqlite(tmp_path, FakeClock(), []) as store:
        for number in range(1, 6):
            await store.execute(context(workspace=f"w{number % 2}"), register(f"m{number}", stream=model_id(number)))
        await store.execute(context(workspace="w1"), assign(model_id(3)))
        assert isinstance(store, SqliteStore)
        rebuilt = rows_of(store.whole_log(), AGGREGATES)

    stored = _stored_rows(tmp_path)
    assert len(stored) == 5
    assert differences(rebuilt, stored) == []
    assert differences(rebuilt[1:], stored) == [f"model {rebuilt[0].id}: the log does not contain the row"]
    assert differences(rebuilt, stored[1:]) == [f"model {rebuilt[0].id}: the row is missing from the catalogue"]


async def test_a_catalogue_of_another_format_is_made_anew_at_start(tmp_path: Path) -> None:
    async with open_sqlite(tmp_path, FakeClock(), []) as store:
        await store.execute(context(), register("digits"))
    before = _stored_rows(tmp_path)
    with closing(sqlite3.connect(tmp_path / "registry.sqlite")) as connection, connection:
        connection.execute("UPDATE catalogue SET phase = 'spoilt'")
        connection.execute("UPDATE properties SET value = 'older'")

    async with open_sqlite(tmp_path, FakeClock(), []):
        pass

    assert _stored_rows(tmp_path) == before


async def test_a_document_that_a_new_format_does_not_have_is_noted_as_removed(tmp_path: Path) -> None:
    async with open_sqlite(tmp_path, FakeClock(), []) as store:
        await store.execute(context(), register(PARTED, stream=model_id(1)))
    with closing(sqlite3.connect(tmp_path / "registry.sqlite")) as connection, connection:
        connection.execute("UPDATE documents SET id = 'content-of-before' WHERE kind = 'signature'")
        connection.execute("UPDATE properties SET value = 'older'")

    async with open_sqlite(tmp_path, FakeClock(), []):
        pass

    with open_log_file(tmp_path / "registry.sqlite") as log:
        documents = await log.documents(after=(0, ""), up_to=await log.head(), limit=10)
    found = {each.id: each.is_removed for each in documents}
    part, before, shelf = sorted(found)
    assert found == {part: 0, before: 1, shelf: 0}
    assert (before, shelf) == ("content-of-before", model_id(1))


async def test_more_commands_than_may_wait_are_refused_as_an_outage(tmp_path: Path) -> None:
    async with open_sqlite(tmp_path, FakeClock(), [], Limits(waiting=2)) as store:
        results = await asyncio.gather(
            *(store.execute(context(), register(f"m{n}")) for n in range(500)), return_exceptions=True
        )

    refused = [result for result in results if isinstance(result, Unavailable)]
    assert refused
    assert refused[0].code == "store-busy"
    assert len(_stored_rows(tmp_path)) == 500 - len(refused)


async def test_a_state_folded_in_a_refused_command_is_not_remembered(tmp_path: Path) -> None:
    async with open_sqlite(tmp_path, FakeClock(), []) as store:
        await store.execute(context(), register("digits", stream=model_id(1)))
        with pytest.raises(Exception, match="no, after all"):
            await store.execute(context(), refuse_after(assign(model_id(1))))

        assert (await store.execute(context(), look(model_id(1)))).reply.body == b"[1]"


async def test_a_sealed_value_opens_until_its_key_is_shredded(tmp_path: Path) -> None:
    async with open_sqlite(tmp_path, FakeClock(), []) as store:
        sealed = await _seal(store, key="k")
        assert store.open(sealed, event_id="event-1") == CANARY
        assert (await store.execute(context(key="k", body="b"), _sealing([]))).is_repeat

        await store.execute(context(), _shredding)

        assert store.open(sealed, event_id="event-1") is None
        with pytest.raises(AnswerErasedError):
            await store.execute(context(key="k", body="b"), _sealing([]))


async def test_a_personal_value_stands_in_no_file_and_its_key_leaves_no_byte(tmp_path: Path) -> None:
    async with open_sqlite(tmp_path, FakeClock(), []) as store:
        sealed = await _seal(store, key="k")
        secret = _secrets(tmp_path, sealed.key_id)[0]
        assert _files_with(tmp_path, secret) == {"keys.sqlite"}

        await store.execute(context(), _shredding)

        assert _files_with(tmp_path, secret) == set()
        assert _files_with(tmp_path, CANARY.encode()) == set()
    assert _files_with(tmp_path, secret) == set()


async def test_a_refused_command_shreds_nothing_and_keeps_no_key(tmp_path: Path) -> None:
    async with open_sqlite(tmp_path, FakeClock(), []) as store:
        sealed = await _seal(store)
        with pytest.raises(Exception, match="no, after all"):
            await store.execute(context(), refuse_after(_shredding))
        refused: list[Sealed] = []
        with pytest.raises(Exception, match="no, after all"):
            await store.execute(context(), refuse_after(_sealing(refused, subject="principal-2")))

        assert store.open(sealed, event_id="event-1") == CANARY
        assert _secrets(tmp_path, refused[0].key_id) == []


async def test_a_shredding_that_a_crash_cut_short_is_carried_out_at_the_next_start(tmp_path: Path) -> None:
    async with open_sqlite(tmp_path, FakeClock(), []) as store:
        sealed = await _seal(store)
    with closing(sqlite3.connect(tmp_path / "registry.sqlite")) as connection, connection:
        connection.execute("INSERT INTO ordered_shredding (key_id) VALUES (?)", (sealed.key_id,))

    async with open_sqlite(tmp_path, FakeClock(), []) as store:
        await store.execute(context(), look(model_id(1)))
        assert store.open(sealed, event_id="event-1") is None


async def test_a_kept_answer_stands_in_no_file_as_plain_text(tmp_path: Path) -> None:
    async with open_sqlite(tmp_path, FakeClock(), []) as store:
        await store.execute(context(key="k", body="b"), _giving_a_token)

        assert _files_with(tmp_path, b"rb_a-fresh-token") == set()
        assert (await store.execute(context(key="k", body="b"), _giving_a_token)).reply.body == b'"rb_a-fresh-token"'


def _sealing(made: list[Sealed], *, subject: str = "principal-1") -> Callable[[UnitOfWork], Reply]:
    def command(unit: UnitOfWork) -> Reply:
        made.append(unit.seal(CANARY, subject=subject, event_id="event-1"))
        return reply(CANARY, None)

    return command


async def _seal(store: EventStore, *, key: str | None = None) -> Sealed:
    made: list[Sealed] = []
    await store.execute(context(key=key, body="b"), _sealing(made))
    return made[0]


def _giving_a_token(_unit: UnitOfWork) -> Reply:
    return reply("rb_a-fresh-token", None)


def _shredding(unit: UnitOfWork) -> Reply:
    assert len(unit.keys_of("principal-1")) == 1
    unit.shred("principal-1")
    assert unit.keys_of("principal-1") == ()
    return reply("", None)


def _secrets(folder: Path, key_id: str) -> list[bytes]:
    with closing(sqlite3.connect(folder / "keys.sqlite")) as connection:
        found = connection.execute("SELECT secret FROM subject_keys WHERE key_id = ?", (key_id,)).fetchall()
    return [secret for (secret,) in found]


def _files_with(folder: Path, needle: bytes) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file() and needle in path.read_bytes()}


def _stored_rows(folder: Path) -> list[CatalogueRow]:
    with closing(sqlite3.connect(folder / "registry.sqlite")) as connection:
        return SqliteCatalogue(lambda sql, values: connection.execute(sql, values).fetchall()).everything()
