"""Reads the log straight from the store's file, for programs that must not write to it."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import quote

import msgspec

from control_plane.catalogue.sqlite_documents import HAS_DOCUMENTS, SELECT_FORMAT
from control_plane.catalogue.sqlite_documents import SELECT as SELECT_DOCUMENTS
from control_plane.event_store.recorder import SELECT_COUNT, SELECT_HEAD, SELECT_LOG
from control_plane.ports import DocumentMark


class LoggedEvent(msgspec.Struct, frozen=True):
    """One row of the log, not decoded: an auditor trusts no column before comparing it with the bytes."""

    position: int
    stream: str
    version: int
    type_name: str
    canonical: bytes


class LoggedDocument(DocumentMark, frozen=True, kw_only=True):
    """A document as the catalogue has it now; `body` is its JSON, empty where the catalogue has no row of it."""

    stream_version: int
    body: bytes


Place: TypeAlias = tuple[int, str]
"""Where a document stands among all of them: the position of its event, and its id."""


class LogFile:
    """The log of a store that another process may be writing to."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def read(self, *, after: int, limit: int) -> list[LoggedEvent]:
        """Return events in position order, after a position."""
        found: Sequence[tuple[int, str, int, str, bytes]] = self._connection.execute(
            SELECT_LOG, (after, limit)
        ).fetchall()
        return [LoggedEvent(*row) for row in found]

    @contextmanager
    def one_moment(self) -> Iterator[None]:
        """Have everything that is read in the block be of one moment."""
        self._connection.execute("BEGIN")
        try:
            yield
        finally:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def documents(self, *, after: Place, up_to: int, limit: int) -> list[LoggedDocument]:
        """Return documents in the order of their events, after one of them, up to and at a position."""
        parameters = (*after, up_to, limit)
        found: Sequence[Any] = self._connection.execute(SELECT_DOCUMENTS, parameters).fetchall()
        return [_document(row) for row in found]

    def event_at(self, position: int) -> LoggedEvent | None:
        """Return the event at a position, None where there is none."""
        found = self.read(after=position - 1, limit=1)
        return found[0] if found and found[0].position == position else None

    def catalogue_format(self) -> str | None:
        """Return the format of the documents, None in the file of a release that had no documents."""
        if self._connection.execute(HAS_DOCUMENTS).fetchone() is None:
            return None
        found = self._connection.execute(SELECT_FORMAT).fetchone()
        return None if found is None else str(found[0])

    def head(self) -> int:
        """Return the last position, 0 when the log is empty."""
        return int(self._connection.execute(SELECT_HEAD).fetchone()[0])

    def count(self, *, up_to: int) -> int:
        """Return how many events there are up to and at a position."""
        return int(self._connection.execute(SELECT_COUNT, (up_to,)).fetchone()[0])


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
        sqlite3.OperationalError: there is no such file, or it is not a store.
    """
    location = f"file:{quote(str(path))}?mode=ro"
    with closing(sqlite3.connect(location, uri=True, isolation_level=None)) as connection:
        connection.execute(SELECT_HEAD)
        yield LogFile(connection)
