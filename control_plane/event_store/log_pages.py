"""Pages of one workspace's log: each costs what it returns, and no more of an event is decoded than its workspace."""

from collections.abc import Iterator
from itertools import islice

import msgspec

from control_plane.event_store.log_rows import SELECT, Cursor, select_head
from control_plane.log.ports import LoggedEvent, LogPage, LogSelection

MAX_SCANNED = 5_000
"""A page looks at no more events than these: those of other workspaces must not make one request read the whole log."""

# A unary plus keeps SQLite from choosing an index by its term: that of the stream is always the narrower.
_OF_ALL = f"{SELECT} position > ? ORDER BY position LIMIT ?"
_OF_TYPE = f"{SELECT} position > ? AND topic = ? ORDER BY position LIMIT ?"
_OF_STREAM = f"{SELECT} +position > ? AND originator_id = ? ORDER BY originator_version LIMIT ?"
_OF_BOTH = f"{SELECT} +position > ? AND originator_id = ? AND +topic = ? ORDER BY originator_version LIMIT ?"


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
        cursor.execute(*_statement(wanted, after))

    def of_workspace(self) -> Iterator[LoggedEvent]:
        while (row := self._cursor.fetchone()) is not None:
            self.count += 1
            event = LoggedEvent(*row)
            self.last = event.position
            if msgspec.json.decode(event.canonical, type=_Owned).workspace == self._workspace:
                yield event


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
