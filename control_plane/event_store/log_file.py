"""Reads the log straight from the store's file, for programs that must not write to it."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

import msgspec

from control_plane.event_store.recorder import SELECT_COUNT, SELECT_HEAD, SELECT_LOG


class LoggedEvent(msgspec.Struct, frozen=True):
    """One row of the log, not decoded: an auditor trusts no column before comparing it with the bytes."""

    position: int
    stream: str
    version: int
    type_name: str
    canonical: bytes


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

    def head(self) -> int:
        """Return the last position, 0 when the log is empty."""
        return int(self._connection.execute(SELECT_HEAD).fetchone()[0])

    def count(self, *, up_to: int) -> int:
        """Return how many events there are up to and at a position."""
        return int(self._connection.execute(SELECT_COUNT, (up_to,)).fetchone()[0])


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
