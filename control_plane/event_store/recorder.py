"""The events table: the library's SQLite recorder with positions that are never given twice."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from eventsourcing.persistence import Notification, StoredEvent
from eventsourcing.sqlite import SQLiteApplicationRecorder, SQLiteCursor, SQLiteDatastore

from control_plane.event_store.log_rows import EVENTS_TABLE, SELECT_HEAD, select_log
from control_plane.log.ports import LoggedEvent

_CREATE = f"""
CREATE TABLE IF NOT EXISTS {EVENTS_TABLE} (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    originator_id TEXT NOT NULL,
    originator_version INTEGER NOT NULL,
    topic TEXT NOT NULL,
    state BLOB NOT NULL,
    UNIQUE (originator_id, originator_version)
) STRICT
"""
# An index has the position of each row as well, so the events of a type are found in order.
_CREATE_INDEX = f"CREATE INDEX IF NOT EXISTS {EVENTS_TABLE}_types ON {EVENTS_TABLE} (topic)"
_INSERT = f"INSERT INTO {EVENTS_TABLE} (originator_id, originator_version, topic, state) VALUES (?, ?, ?, ?)"  # noqa: S608
_INSERT_AT = (
    f"INSERT INTO {EVENTS_TABLE} (position, originator_id, originator_version, topic, state) "  # noqa: S608
    "VALUES (?, ?, ?, ?, ?)"
)


class PositionRecorder(SQLiteApplicationRecorder):
    """Stores canonical bytes under (stream, version) and numbers them.

    `AUTOINCREMENT` makes positions strictly increasing forever: the library's own table would give the number of a
    deleted last row again. Rolled-back inserts may leave gaps.
    """

    def __init__(self, datastore: SQLiteDatastore) -> None:
        super().__init__(datastore, EVENTS_TABLE)
        self.insert_events_statement = _INSERT
        self.select_max_notification_id_statement = SELECT_HEAD

    def construct_create_table_statements(self) -> list[str]:
        return [_CREATE, _CREATE_INDEX]

    def insert(self, cursor: SQLiteCursor, events: Sequence[StoredEvent]) -> Sequence[int]:
        """Insert within the caller's transaction and return the positions given."""
        return self._insert_events(cursor, events) or ()

    def insert_at(self, cursor: SQLiteCursor, events: Sequence[LoggedEvent]) -> None:
        """Insert events at the positions they had elsewhere; for restoring a log."""
        rows = [(event.position, event.stream, event.version, event.type_name, event.canonical) for event in events]
        cursor.executemany(_INSERT_AT, rows)

    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[Notification]:
        """Answer the library's own form of the question, which names the row id that our column replaces."""
        after = -1 if start is None else start - inclusive_of_start
        with self.reading() as cursor:
            found = select_log(cursor, after=after, limit=limit if stop is None and not topics else -1)
        wanted = [
            _notification(event)
            for event in found
            if (stop is None or event.position <= stop) and (not topics or event.type_name in topics)
        ]
        return wanted[:limit]

    @contextmanager
    def reading(self) -> Iterator[SQLiteCursor]:
        """Give a cursor in a read transaction of its own, from the pool; safe from any thread."""
        with self.datastore.transaction(commit=False) as cursor:
            yield cursor


def _notification(event: LoggedEvent) -> Notification:
    return Notification(
        id=event.position,
        originator_id=event.stream,
        originator_version=event.version,
        topic=event.type_name,
        state=event.canonical,
    )
