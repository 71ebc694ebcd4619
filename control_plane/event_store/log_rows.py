"""The rows of the log, as every reader of the SQLite file selects them."""

from collections.abc import Sequence
from typing import Any, Protocol

from control_plane.log.ports import LoggedEvent

EVENTS_TABLE = "events"

_COLUMNS = "position, originator_id, originator_version, topic, state"
SELECT = f"SELECT {_COLUMNS} FROM {EVENTS_TABLE} WHERE "  # noqa: S608  constants
_SELECT_LOG = f"{SELECT} position > ? ORDER BY position LIMIT ?"
_SELECT_STREAM = f"{SELECT} originator_id = ? AND originator_version > ? ORDER BY originator_version"
SELECT_HEAD = f"SELECT coalesce(max(position), 0) FROM {EVENTS_TABLE}"  # noqa: S608  a constant
_SELECT_COUNT = f"SELECT count(*) FROM {EVENTS_TABLE} WHERE position <= ?"  # noqa: S608  the same


class Cursor(Protocol):
    """What is used of a cursor, be it the standard library's or that of `eventsourcing`."""

    def execute(self, statement: str, parameters: Sequence[Any] = ..., /) -> object:
        """Run a statement with bound parameters."""

    def fetchone(self) -> Any:  # noqa: ANN401  a row
        """Return the next row, None after the last."""

    def fetchall(self) -> list[Any]:
        """Return the rows that are left."""


def select_log(cursor: Cursor, *, after: int, limit: int) -> list[LoggedEvent]:
    """Return events in position order, after a position."""
    cursor.execute(_SELECT_LOG, (after, limit))
    return _events(cursor)


def select_types(cursor: Cursor, types: Sequence[str], *, after: int, limit: int) -> list[LoggedEvent]:
    """Return events of some types in position order, after a position."""
    wanted = ", ".join("?" * len(types))
    statement = f"{SELECT} position > ? AND topic IN ({wanted}) ORDER BY position LIMIT ?"
    cursor.execute(statement, (after, *types, limit))
    return _events(cursor)


def select_stream(cursor: Cursor, stream: str, *, after_version: int) -> list[LoggedEvent]:
    """Return one stream in version order."""
    cursor.execute(_SELECT_STREAM, (stream, after_version))
    return _events(cursor)


def select_head(cursor: Cursor) -> int:
    """Return the last position, 0 where there is no event."""
    cursor.execute(SELECT_HEAD)
    return int(cursor.fetchone()[0])


def select_count(cursor: Cursor, *, up_to: int) -> int:
    """Return how many events there are up to and at a position."""
    cursor.execute(_SELECT_COUNT, (up_to,))
    return int(cursor.fetchone()[0])


def _events(cursor: Cursor) -> list[LoggedEvent]:
    return [LoggedEvent(*row) for row in cursor.fetchall()]
