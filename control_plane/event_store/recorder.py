"""The events table: the library's SQLite recorder with positions that are never given twice."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from eventsourcing.persistence import Notification, StoredEvent
from eventsourcing.sqlite import SQLiteApplicationRecorder, SQLiteCursor, SQLiteDatastore

EVENTS_TABLE = "events"

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
_SELECT_STREAM = f"""
SELECT position, originator_id, originator_version, topic, state FROM {EVENTS_TABLE}
WHERE originator_id = ? AND originator_version > ? ORDER BY originator_version
"""  # noqa: S608  the table's name is a constant
SELECT_LOG = f"""
SELECT position, originator_id, originator_version, topic, state FROM {EVENTS_TABLE}
WHERE position > ? ORDER BY position LIMIT ?
"""  # noqa: S608  the same
SELECT_HEAD = f"SELECT coalesce(max(position), 0) FROM {EVENTS_TABLE}"  # noqa: S608
SELECT_COUNT = f"SELECT count(*) FROM {EVENTS_TABLE} WHERE position <= ?"  # noqa: S608  the same


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

    def insert_at(self, cursor: SQLiteCursor, events: Sequence[Notification]) -> None:
        """Insert events at the positions they had elsewhere; for restoring a log."""
        rows = [(event.id, event.originator_id, event.originator_version, event.topic, event.state) for event in events]
        cursor.executemany(_INSERT_AT, rows)

    def select_stream(self, cursor: SQLiteCursor, stream: str, *, after_version: int) -> list[Notification]:
        cursor.execute(_SELECT_STREAM, (stream, after_version))
        return _notifications(cursor)

    def select_log(
        self, cursor: SQLiteCursor, *, after: int, limit: int, types: Sequence[str] = ()
    ) -> list[Notification]:
        """Return events in position order, after a position; with `types`, those of these types."""
        if types:
            cursor.execute(_select_types(len(types)), (after, *types, limit))
        else:
            cursor.execute(SELECT_LOG, (after, limit))
        return _notifications(cursor)

    def head(self, cursor: SQLiteCursor) -> int:
        return int(self._max_notification_id(cursor))

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
            found = self.select_log(cursor, after=after, limit=limit if stop is None and not topics else -1)
        wanted = [
            event for event in found if (stop is None or event.id <= stop) and (not topics or event.topic in topics)
        ]
        return wanted[:limit]

    @contextmanager
    def reading(self) -> Iterator[SQLiteCursor]:
        """Give a cursor in a read transaction of its own, from the pool; safe from any thread."""
        with self.datastore.transaction(commit=False) as cursor:
            yield cursor


def _select_types(count: int) -> str:
    wanted = ", ".join("?" * count)
    return f"""
    SELECT position, originator_id, originator_version, topic, state FROM {EVENTS_TABLE}
    WHERE position > ? AND topic IN ({wanted}) ORDER BY position LIMIT ?
    """  # noqa: S608  the table's name is a constant, and the types are bound


def _notifications(cursor: SQLiteCursor) -> list[Notification]:
    return [
        Notification(id=position, originator_id=stream, originator_version=version, topic=topic, state=state)
        for position, stream, version, topic, state in cursor.fetchall()
    ]
