"""Pages of one workspace's log: each costs what it returns, and no more of an event is decoded than its workspace."""

from collections.abc import Iterator
from itertools import islice

import msgspec
from eventsourcing.sqlite import SQLiteCursor

from control_plane.event_store.recorder import EVENTS_TABLE, SELECT_HEAD
from control_plane.ports import LogPage, LogSelection, StoredBytes

MAX_SCANNED = 5_000
"""A page looks at no more events than these: those of other workspaces must not make one request read the whole log."""

_SELECT = f"SELECT position, state FROM {EVENTS_TABLE} WHERE "  # noqa: S608  the table's name is a constant
# A unary plus keeps SQLite from choosing an index by its term: that of the stream is always the narrower.
_OF_ALL = f"{_SELECT} position > ? ORDER BY position LIMIT ?"
_OF_TYPE = f"{_SELECT} position > ? AND topic = ? ORDER BY position LIMIT ?"
_OF_STREAM = f"{_SELECT} +position > ? AND originator_id = ? ORDER BY originator_version LIMIT ?"
_OF_BOTH = f"{_SELECT} +position > ? AND originator_id = ? AND +topic = ? ORDER BY originator_version LIMIT ?"


class _Owned(msgspec.Struct):
    workspace: str


def read_page(cursor: SQLiteCursor, wanted: LogSelection, *, after: int, limit: int) -> LogPage:
    """Read a page in the cursor's transaction."""
    cursor.execute(SELECT_HEAD)
    head = int(cursor.fetchone()[0])
    scanned = _Scanned(cursor, wanted, after=after)
    found = list(islice(scanned.of_workspace(), limit))
    is_whole = len(found) < limit and scanned.count < MAX_SCANNED
    return LogPage(events=found, head=head, read_until=max(after, head) if is_whole else scanned.last)


class _Scanned:
    """What SQLite finds, read from it one by one."""

    def __init__(self, cursor: SQLiteCursor, wanted: LogSelection, *, after: int) -> None:
        self.count, self.last = 0, after
        self._workspace = wanted.workspace
        self._cursor = cursor
        cursor.execute(*_statement(wanted, after))

    def of_workspace(self) -> Iterator[StoredBytes]:
        while (row := self._cursor.fetchone()) is not None:
            self.count += 1
            self.last, canonical = row
            if msgspec.json.decode(canonical, type=_Owned).workspace == self._workspace:
                yield StoredBytes(position=self.last, canonical=canonical)


def _statement(wanted: LogSelection, after: int) -> tuple[str, tuple[object, ...]]:
    match wanted.stream, wanted.type:
        case "", "":
            return _OF_ALL, (after, MAX_SCANNED)
        case "", type_name:
            return _OF_TYPE, (after, type_name, MAX_SCANNED)
        case stream, "":
            return _OF_STREAM, (after, stream, MAX_SCANNED)
        case stream, type_name:
            return _OF_BOTH, (after, stream, type_name, MAX_SCANNED)
