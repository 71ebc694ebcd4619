"""The store's SQLite file: its tables, its lock, and what it means when the disk or the file says no."""

import fcntl
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from eventsourcing.persistence import PersistenceError
from eventsourcing.sqlite import SQLiteConnection, SQLiteConnectionPool, SQLiteDatastore

from control_plane.catalogue import sqlite_catalogue, sqlite_documents
from control_plane.event_store.errors import StoreUnavailableError
from control_plane.event_store.recorder import PositionRecorder
from infra.errors import CannotStartError

_PREPARED_STATEMENTS = 64
_LOCK_TIMEOUT_SECONDS = 5.0
_CREATE = (
    *sqlite_catalogue.CREATE,
    *sqlite_documents.CREATE,
    """
    CREATE TABLE IF NOT EXISTS commands (
        workspace TEXT NOT NULL,
        principal_id TEXT NOT NULL,
        idempotency_key TEXT NOT NULL,
        body_sha256 TEXT NOT NULL,
        status INTEGER NOT NULL,
        body BLOB NOT NULL,
        sealed_under TEXT NOT NULL,
        bound_to TEXT NOT NULL,
        stream_version INTEGER,
        position INTEGER NOT NULL,
        expires_at_ms INTEGER NOT NULL,
        PRIMARY KEY (workspace, principal_id, idempotency_key)
    ) STRICT
    """,
    "CREATE TABLE IF NOT EXISTS ordered_shredding (key_id TEXT PRIMARY KEY) STRICT, WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS processes (name TEXT PRIMARY KEY, position INTEGER NOT NULL) STRICT, WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS properties (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID",
)

# Primary result codes (the low byte) that tell of the disk, the file or another process, and not of a bug here.
_OUTAGES = {
    sqlite3.SQLITE_FULL: "is on a full disk; free some space",
    sqlite3.SQLITE_READONLY: "cannot be written; give this user write permission",
    sqlite3.SQLITE_PERM: "cannot be written; give this user write permission",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened; check its folder and permissions",
    sqlite3.SQLITE_IOERR: "cannot be written or read; check the disk and its free space",
    sqlite3.SQLITE_BUSY: "is locked by another program; stop that program",
    sqlite3.SQLITE_LOCKED: "is locked by another program; stop that program",
    sqlite3.SQLITE_NOMEM: "cannot be used because memory is short; free some memory",
    sqlite3.SQLITE_CORRUPT: "is damaged; restore it from the topic",
    sqlite3.SQLITE_NOTADB: "is not a database; restore it from the topic",
}


class _Pool(SQLiteConnectionPool):
    """Connections that keep their prepared statements; the library's keep one, and preparing costs more than a run."""

    def _create_connection(self) -> SQLiteConnection:
        connection = sqlite3.connect(
            self.db_name,
            check_same_thread=False,
            isolation_level=None,
            cached_statements=_PREPARED_STATEMENTS,
            timeout=_LOCK_TIMEOUT_SECONDS,
        )
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA journal_mode = WAL")
        return SQLiteConnection(connection, max_age=self.max_age)


@contextmanager
def open_recorder(path: Path) -> Iterator[PositionRecorder]:
    """Open the file with its tables, making what is missing."""
    datastore = SQLiteDatastore(str(path), originator_id_type="text")
    datastore.pool = _Pool(db_name=str(path))
    try:
        recorder = PositionRecorder(datastore)
        with datastore.transaction(commit=True) as cursor:
            for statement in (*recorder.construct_create_table_statements(), *_CREATE):
                cursor.execute(statement)
        yield recorder
    finally:
        datastore.close()


@contextmanager
def only_writer(path: Path) -> Iterator[None]:
    """Keep every other process from writing to the file; the kernel lets go when this one dies.

    The writer's folded states are right only while no one else appends.
    """
    with path.with_name(f"{path.name}.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CannotStartError(
                f"another process writes to {path}; stop it or choose another data directory"
            ) from None
        yield


@contextmanager
def translate_start_errors(path: Path) -> Iterator[None]:
    try:
        with translate_store_errors():
            yield
    except StoreUnavailableError as error:
        raise CannotStartError(f"{path}: {error.detail}; {error.remedy}") from error
    except (OSError, sqlite3.Error, PersistenceError) as error:
        raise CannotStartError(f"the event store {path} cannot be opened ({error}); check its folder") from error


@contextmanager
def translate_store_errors() -> Iterator[None]:
    """Turn what the disk or the file refuses into StoreUnavailableError, and let everything else through."""
    try:
        yield
    except (sqlite3.Error, PersistenceError) as error:
        if (outage := outage_behind(error)) is not None:
            raise outage from error
        raise


def outage_behind(error: BaseException) -> StoreUnavailableError | None:
    """Tell the outage behind what SQLite raised, where it is one; the library wraps some errors."""
    cause = error.__cause__ if isinstance(error, PersistenceError) else error
    code = getattr(cause, "sqlite_errorcode", None) if isinstance(cause, sqlite3.Error) else None
    sentence = None if code is None else _OUTAGES.get(code & 0xFF)
    if sentence is None:
        return None
    problem, remedy = sentence.split("; ")
    return StoreUnavailableError(f"the event store {problem}", remedy=f"{remedy}, then try again; nothing was written")
