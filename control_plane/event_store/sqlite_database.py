"""The SQLite file of the log, the catalogue and the answered commands, as its one writer uses it."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from eventsourcing.persistence import StoredEvent
from eventsourcing.sqlite import SQLiteConnection

from control_plane.catalogue import sqlite_documents
from control_plane.catalogue.rebuild import FORMAT_PROPERTY, Catalogued
from control_plane.catalogue.sqlite_catalogue import SqliteCatalogue
from control_plane.event_store.codec import to_recorded
from control_plane.event_store.database import AnswerKey, StoredAnswer
from control_plane.event_store.errors import NameTakenError, StaleVersionError
from control_plane.event_store.log_rows import select_head, select_stream
from control_plane.event_store.recorder import PositionRecorder
from control_plane.event_store.sqlite_file import outage_behind, translate_store_errors
from control_plane.ports import CatalogueRow, DocumentMark
from schemas.envelope import RecordedEvent

# Savepoints keep the pages they may have to undo in temporary storage: that belongs in memory.
PRAGMAS = ("synchronous = FULL", "temp_store = MEMORY", "cache_size = -65536", "wal_autocheckpoint = 4000")

_FORGOTTEN_AT_ONCE = 1_000
_ANSWER = """
SELECT body_sha256, status, body, sealed_under, bound_to, stream_version, position, expires_at_ms FROM commands
WHERE workspace = ? AND principal_id = ? AND idempotency_key = ? AND expires_at_ms > ?
"""
_KEEP_ANSWER = """
INSERT OR REPLACE INTO commands (
    workspace, principal_id, idempotency_key,
    body_sha256, status, body, sealed_under, bound_to, stream_version, position, expires_at_ms
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
# Rows are in the order of their expiry, as all are kept equally long; so the oldest need no index.
REACTED_UNTIL = "SELECT position FROM processes WHERE name = ?"
_REACTED = """
INSERT INTO processes (name, position) VALUES (?, ?)
ON CONFLICT (name) DO UPDATE SET position = excluded.position WHERE excluded.position > position
RETURNING 1
"""
_FORGET_ANSWERS = f"""
DELETE FROM commands WHERE expires_at_ms <= ? AND rowid IN (
    SELECT rowid FROM commands ORDER BY rowid LIMIT {_FORGOTTEN_AT_ONCE}
)
"""  # noqa: S608  a number from our own code


class SqliteDatabase:
    """Implements `Database` on one connection of the recorder's pool."""

    def __init__(self, recorder: PositionRecorder, connection: SQLiteConnection) -> None:
        self._recorder = recorder
        self._connection = connection
        self._cursor = connection.cursor()
        for pragma in PRAGMAS:
            self._cursor.execute(f"PRAGMA {pragma}")
        self._catalogue = _CatalogueOfWriter(self._query)

    @property
    def catalogue(self) -> "_CatalogueOfWriter":
        return self._catalogue

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with translate_store_errors(), self._connection.transaction(commit=True) as cursor:
            between, self._cursor = self._cursor, cursor
            try:
                yield
            finally:
                self._cursor = between  # The library closes the transaction's own.

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        self._cursor.execute("SAVEPOINT command")
        try:
            yield
        except Exception as error:
            if (outage := outage_behind(error)) is not None:
                raise outage from error  # SQLite may have rolled the whole transaction back by itself.
            self._cursor.execute("ROLLBACK TO command")
            self._cursor.execute("RELEASE command")
            raise
        self._cursor.execute("RELEASE command")

    def insert(self, events: Sequence[StoredEvent]) -> Sequence[int]:
        try:
            return self._recorder.insert(self._cursor, events)
        except sqlite3.IntegrityError as error:
            first = events[0]
            expected = first.originator_version - 1
            raise StaleVersionError(stream=str(first.originator_id), expected=expected, found=None) from error

    def mark_document(self, mark: DocumentMark) -> None:
        self._query(sqlite_documents.MARK, sqlite_documents.parameters(mark))

    def stream(self, stream: str) -> list[RecordedEvent]:
        return [to_recorded(event) for event in select_stream(self._cursor, stream, after_version=0)]

    def head(self) -> int:
        return select_head(self._cursor)

    def has_reacted(self, process: str, position: int) -> bool:
        return bool(self._query(_REACTED, (process, position)))

    def answer(self, key: AnswerKey, *, now_ms: int) -> StoredAnswer | None:
        found = self._query(_ANSWER, (key.workspace, key.principal_id, key.idempotency_key, now_ms))
        if not found:
            return None
        body_sha256, status, body, sealed_under, bound_to, stream_version, position, expires_at_ms = found[0]
        return StoredAnswer(
            body_sha256=body_sha256,
            status=status,
            body=body,
            sealed_under=tuple(sealed_under.split()),
            bound_to=bound_to,
            stream_version=stream_version,
            position=position,
            expires_at_ms=expires_at_ms,
        )

    def keep_answer(self, key: AnswerKey, answer: StoredAnswer) -> None:
        asked = (key.workspace, key.principal_id, key.idempotency_key, answer.body_sha256)
        answered = (answer.status, answer.body, " ".join(answer.sealed_under), answer.bound_to)
        kept = (answer.stream_version, answer.position, answer.expires_at_ms)
        self._query(_KEEP_ANSWER, (*asked, *answered, *kept))

    def forget_answers(self, *, now_ms: int) -> None:
        self._query(_FORGET_ANSWERS, (now_ms,))

    def order_shredding(self, key_ids: Iterable[str]) -> None:
        for key_id in key_ids:
            self._query("INSERT OR IGNORE INTO ordered_shredding (key_id) VALUES (?)", (key_id,))

    def ordered_shredding(self) -> list[str]:
        return [key_id for (key_id,) in self._query("SELECT key_id FROM ordered_shredding", ())]

    def shredding_done(self, key_ids: Iterable[str]) -> None:
        for key_id in key_ids:
            self._query("DELETE FROM ordered_shredding WHERE key_id = ?", (key_id,))

    def catalogue_format(self) -> str | None:
        """Return the format that the catalogue's rows are in, None where they were never made."""
        found = self._query("SELECT value FROM properties WHERE name = ?", (FORMAT_PROPERTY,))
        return found[0][0] if found else None

    def replace_catalogue(self, catalogued: Iterable[Catalogued], *, catalogue_format: str) -> None:
        self.catalogue.clear()
        # What was a document and is none any more has to be removed from the topic.
        self._query(sqlite_documents.REMOVE_ALL, ())
        for each in catalogued:
            if each.row is not None:
                self.catalogue.put(each.row)
            if each.document is not None:
                self.mark_document(each.document)
        values = (FORMAT_PROPERTY, catalogue_format)
        self._query("INSERT OR REPLACE INTO properties (name, value) VALUES (?, ?)", values)

    def _query(self, statement: str, parameters: Sequence[object]) -> list[Any]:
        self._cursor.execute(statement, parameters)
        found: list[Any] = self._cursor.fetchall()
        return found


class _CatalogueOfWriter(SqliteCatalogue):
    def put(self, row: CatalogueRow) -> None:
        try:
            super().put(row)
        except sqlite3.IntegrityError as error:
            raise NameTakenError(kind=str(row.kind), name=str(row.name)) from error
