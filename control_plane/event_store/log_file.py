"""Reads the log straight from the store's file, for programs that must not write to it."""

import sqlite3
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from control_plane.catalogue.sqlite_documents import HAS_DOCUMENTS, SELECT_FORMAT
from control_plane.catalogue.sqlite_documents import SELECT as SELECT_DOCUMENTS
from control_plane.event_store.log_rows import SELECT_HEAD, select_count, select_head, select_log
from control_plane.log.errors import LogDamagedError, LogUnreadableError
from control_plane.log.ports import LoggedDocument, LoggedEvent, Place


class LogFile:
    """Implements `DocumentedLog` on the file of a store that another process may be writing to.

    A read holds up the event loop for as long as SQLite takes: the programs that read the file have nothing else to
    do meanwhile, and a thread for each read would cost more.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path

    async def read(self, *, after: int, limit: int) -> list[LoggedEvent]:
        with self._reading() as cursor:
            return select_log(cursor, after=after, limit=limit)

    async def head(self) -> int:
        with self._reading() as cursor:
            return select_head(cursor)

    async def count(self, *, up_to: int) -> int:
        with self._reading() as cursor:
            return select_count(cursor, up_to=up_to)

    @asynccontextmanager
    async def one_moment(self) -> AsyncIterator[None]:
        with self._reading() as cursor:
            cursor.execute("BEGIN")
        try:
            yield
        finally:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    async def documents(self, *, after: Place, up_to: int, limit: int) -> list[LoggedDocument]:
        with self._reading() as cursor:
            cursor.execute(SELECT_DOCUMENTS, (*after, up_to, limit))
            return [_document(row) for row in cursor.fetchall()]

    async def catalogue_format(self) -> str | None:
        with self._reading() as cursor:
            if cursor.execute(HAS_DOCUMENTS).fetchone() is None:
                return None
            found = cursor.execute(SELECT_FORMAT).fetchone()
            return None if found is None else str(found[0])

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Cursor]:
        with _translate_errors(self._path):
            yield self._connection.cursor()


def _document(row: Sequence[Any]) -> LoggedDocument:
    position, identifier, kind, workspace, event_id, is_removed, stream_version, body = row
    return LoggedDocument(
        position=position,
        id=identifier,
        kind=kind,
        workspace=workspace,
        event_id=event_id,
        is_removed=bool(is_removed),
        stream_version=stream_version,
        body=body,
    )


@contextmanager
def open_log_file(path: Path) -> Iterator[LogFile]:
    """Open the file for reading only.

    Raises:
        LogUnreadableError: there is no such file, it holds no log yet, or it cannot be read now.
        LogDamagedError: the file is not one of a store.
    """
    location = f"file:{quote(str(path))}?mode=ro"
    with _translate_errors(path):
        connection = sqlite3.connect(location, uri=True, isolation_level=None)
    with closing(connection):
        with _translate_errors(path):
            connection.execute(SELECT_HEAD)
        yield LogFile(connection, path)


@contextmanager
def _translate_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        # SQLite tells of what may be otherwise later by this one class, and by others of what will not.
        kind = LogUnreadableError if isinstance(error, sqlite3.OperationalError) else LogDamagedError
        raise kind(f"{path} cannot be read as an event store ({error})") from error
