"""The store and its file, as copies of the log."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from control_plane.event_store.log_file import open_log_file
from control_plane.event_store.recorder import PositionRecorder
from control_plane.event_store.sqlite_file import open_recorder
from control_plane.event_store.sqlite_log import SqliteLog
from control_plane.log.errors import LogDamagedError, LogUnreadableError
from control_plane.log.ports import LoggedEvent, LogReader
from tests.contracts.log_readers import EACH_PROMISE, LOG, Promise


class SqliteCopy:
    """The log in a SQLite file, seen by the process that writes it or by another one."""

    def __init__(self, path: Path, recorder: PositionRecorder, reader: LogReader) -> None:
        self.reader = reader
        self._path = path
        self._recorder = recorder

    async def append(self, events: Sequence[LoggedEvent]) -> None:
        with self._recorder.datastore.transaction(commit=True) as cursor:
            self._recorder.insert_at(cursor, events)

    async def remove(self) -> None:
        execute(self._path, "DROP TABLE events")


def execute(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)


@contextmanager
def in_store(path: Path) -> Iterator[SqliteCopy]:
    with open_recorder(path) as recorder:
        yield SqliteCopy(path, recorder, SqliteLog(recorder))


@contextmanager
def in_file(path: Path) -> Iterator[SqliteCopy]:
    with open_recorder(path) as recorder, open_log_file(path) as reader:
        yield SqliteCopy(path, recorder, reader)


@pytest.fixture(params=[in_store, in_file])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqliteCopy]:
    with request.param(tmp_path / "registry.sqlite") as copy:
        yield copy


@EACH_PROMISE
async def test_each_promise_is_kept(log: SqliteCopy, promise: Promise) -> None:
    await promise(log)


async def test_deleted_rows_leave_gaps(log: SqliteCopy, tmp_path: Path) -> None:
    await log.append(LOG)
    execute(tmp_path / "registry.sqlite", "DELETE FROM events WHERE position IN (2, 8)")

    assert await log.reader.read(after=0, limit=2) == [LOG[0], LOG[2]]
    assert await log.reader.read(after=3, limit=2) == [LOG[3]]
    assert await log.reader.head() == 7


async def test_a_store_that_is_closed_cannot_be_read(tmp_path: Path) -> None:
    with open_recorder(tmp_path / "registry.sqlite") as recorder:
        log = SqliteLog(recorder)

    with pytest.raises(LogUnreadableError):
        await log.head()


def test_a_file_that_is_not_there_may_yet_come(tmp_path: Path) -> None:
    (tmp_path / "empty.sqlite").touch()

    for name in ("missing.sqlite", "empty.sqlite"):
        with pytest.raises(LogUnreadableError, match=rf"{name} cannot be read") as told, open_log_file(tmp_path / name):
            pass
        assert not isinstance(told.value, LogDamagedError)


def test_a_file_that_is_no_store_is_told_as_damaged(tmp_path: Path) -> None:
    path = tmp_path / "registry.sqlite"
    path.write_text("certainly no database, but long enough to be looked at " * 20)

    with pytest.raises(LogDamagedError, match="file is not a database"), open_log_file(path):
        pass
