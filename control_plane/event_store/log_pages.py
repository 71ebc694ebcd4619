"""Pages of one workspace's log: each costs what it returns, and no more of an event is decoded than its workspace."""

from bisect import bisect_right
from collections.abc import Iterator
from itertools import islice

import msgspec

from control_plane.event_store.log_rows import EVENTS_TABLE, SELECT, Cursor, select_head
from control_plane.log.ports import LoggedEvent, LogPage, LogSelection

MAX_SCANNED = 5_000
"""A page looks at no more events than these: those of other workspaces must not make one request read the whole log."""

# A unary plus keeps SQLite from choosing an index by its term: that of the stream is always the narrower.
_OF_ALL = f"{SELECT} position > ? ORDER BY position LIMIT ?"
_OF_TYPE = f"{SELECT} topic = ? AND position > ? ORDER BY position LIMIT ?"
_OF_STREAM = f"{SELECT} originator_id = ? AND originator_version > ? ORDER BY originator_version LIMIT ?"
_OF_BOTH = f"""
{SELECT} originator_id = ? AND originator_version > ? AND +topic = ? ORDER BY originator_version LIMIT ?
"""
_LAST_VERSION = f"SELECT coalesce(max(originator_version), 0) FROM {EVENTS_TABLE} WHERE originator_id = ?"  # noqa: S608
_POSITION_OF_VERSION = f"""
SELECT position FROM {EVENTS_TABLE} WHERE originator_id = ? AND originator_version >= ?
ORDER BY originator_version LIMIT 1
"""  # noqa: S608  the table's name is a constant


class _Owned(msgspec.Struct):
    workspace: str


def read_page(cursor: Cursor, wanted: LogSelection, *, after: int, limit: int) -> LogPage:
    """Read a page in the cursor's transaction."""
    head = select_head(cursor)
    scanned = _Scanned(cursor, wanted, after=after)
    found = list(islice(scanned.of_workspace(), limit))
    is_whole = len(found) < limit and scanned.count < MAX_SCANNED
    return LogPage(events=found, head=head, read_until=max(after, head) if is_whole else scanned.last)


class _Scanned:
    """What SQLite finds, read from it one by one."""

    def __init__(self, cursor: Cursor, wanted: LogSelection, *, after: int) -> None:
        self.count, self.last = 0, after
        self._workspace = wanted.workspace
        self._cursor = cursor
        cursor.execute(*_statement(cursor, wanted, after))

    def of_workspace(self) -> Iterator[LoggedEvent]:
        while (row := self._cursor.fetchone()) is not None:
            self.count += 1
            event = LoggedEvent(*row)
            self.last = event.position
            if self._is_wanted(event):
                yield event

    def _is_wanted(self, event: LoggedEvent) -> bool:
        if self._workspace is None:
            return True
        return msgspec.json.decode(event.canonical, type=_Owned).workspace == self._workspace


def _statement(cursor: Cursor, wanted: LogSelection, after: int) -> tuple[str, tuple[object, ...]]:
    match wanted.stream, wanted.type:
        case "", "":
            return _OF_ALL, (after, MAX_SCANNED)
        case "", type_name:
            return _OF_TYPE, (type_name, after, MAX_SCANNED)
        case stream, "":
            return _OF_STREAM, (stream, _version_at(cursor, stream, after), MAX_SCANNED)
        case stream, type_name:
            return _OF_BOTH, (stream, _version_at(cursor, stream, after), type_name, MAX_SCANNED)


def _version_at(cursor: Cursor, stream: str, position: int) -> int:
    """Return the last version that a stream has up to a position.

    Its versions and positions grow together, so they are searched by halves, in the one index that finds both: an
    index of streams and positions would have to be written with every event.
    """

    def position_of(version: int) -> int:
        cursor.execute(_POSITION_OF_VERSION, (stream, version))
        return int(cursor.fetchone()[0])

    cursor.execute(_LAST_VERSION, (stream,))
    # No version is larger than its own position.
    last = min(int(cursor.fetchone()[0]), position)
    return bisect_right(range(1, last + 1), position, key=position_of)
