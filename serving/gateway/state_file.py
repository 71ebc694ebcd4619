"""The last good state on disk, from which a follower serves while the control plane and Kafka are away.

An SQLite file with a row for each part of the state, so that a change costs as much as it changed.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from threading import Lock
from typing import Any

import msgspec
import structlog

from serving.gateway import names
from serving.gateway.routing_state import KeptState
from serving.gateway.state_in_one_piece import state_in_one_piece
from serving.gateway.state_parts import TYPES, Key, Parts, snapshot_of

FORMAT = 4

_CREATE = """
CREATE TABLE parts (kind TEXT NOT NULL, id TEXT NOT NULL, body BLOB NOT NULL, PRIMARY KEY (kind, id)) STRICT
"""
_PUT = "INSERT INTO parts (kind, id, body) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET body = excluded.body"
_REMOVE = "DELETE FROM parts WHERE kind = ? AND id = ?"
# Its only user takes the file for itself, which needs no file beside it for shared memory: a full disk must not keep a
# follower from reading its state. A commit waits for the disk once. The WAL goes into the file every 4 MiB.
_PRAGMAS = ("locking_mode = EXCLUSIVE", "journal_mode = WAL", "synchronous = FULL", "wal_autocheckpoint = 1000")
_DAMAGES = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_IN_USE = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_LOCK_TIMEOUT_S = 1.0
_PLACE: Key = ("place", "")

_log = structlog.get_logger(__name__)


class _Place(msgspec.Struct, frozen=True, kw_only=True):
    position: int
    read_at_ms: int


class _UnreadableError(Exception):
    """What a file holds is damaged, or not a state."""


class _NotMadeError(sqlite3.OperationalError):
    """A file that holds no state cannot be made: the disk is full, or its permissions do not allow it."""


class StateFile:
    """The file as its only user has it. Safe from any thread."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / names.STATE
        self._in_one_piece = folder / names.SNAPSHOT
        self._lock = Lock()
        self._connection: sqlite3.Connection | None = None
        self.state: KeptState | None = None
        try:
            self.state = self._open()
        except _NotMadeError as error:
            # Nothing is lost that is not there; the next write makes the file.
            _log.warning("state_file_not_made", path=str(self._path), reason=str(error))
        self.needs_everything = self.state is None
        """Whether the next write has to have all parts."""
        if self._in_one_piece.exists():
            # It goes with the first write, so nothing else is newer.
            self.state = _read_in_one_piece(self._in_one_piece) or self.state
            self.needs_everything = True

    def write(self, changed: Parts, *, read_at_ms: int) -> None:
        """Write parts in one transaction, which is on disk when this returns. Blocks until then.

        Raises:
            sqlite3.Error: nothing was written; a file that is damaged is replaced by an empty one.
            OSError: the file of an earlier release cannot be removed.
        """
        with self._lock:
            try:
                self._write(self._made(), changed, read_at_ms=read_at_ms)
            except sqlite3.DatabaseError as error:
                if _is_damage(error):
                    self._discard(error)
                    self.needs_everything = True
                raise
            if self.needs_everything:
                self._in_one_piece.unlink(missing_ok=True)
                self.needs_everything = False

    def close(self) -> None:
        """Close the file, once a write that is under way has ended."""
        with self._lock:
            self._let_go()

    def _made(self) -> sqlite3.Connection:
        """Return the connection to a file that is there, which could not be made before."""
        if self._connection is None:
            self._open()
        assert self._connection
        return self._connection

    def _write(self, connection: sqlite3.Connection, changed: Parts, *, read_at_ms: int) -> None:
        place = _Place(position=changed.position, read_at_ms=read_at_ms)
        there = ((*key, msgspec.json.encode(part)) for key, part in changed.parts.items() if part is not None)
        with connection:
            if self.needs_everything:
                connection.execute("DELETE FROM parts")
            connection.executemany(_PUT, there)
            connection.executemany(_REMOVE, [key for key, part in changed.parts.items() if part is None])
            connection.execute(_PUT, (*_PLACE, msgspec.json.encode(place)))

    def _open(self) -> KeptState | None:
        """Open the file and return what it holds; one that cannot be read is replaced by an empty one."""
        try:
            return self._connected()
        except _UnreadableError as error:
            self._discard(error)
            return self._connected()

    def _connected(self) -> KeptState | None:
        is_there = self._path.exists() and self._path.stat().st_size > 0
        with nullcontext() if is_there else _making():
            connection = _connect(self._path)
            try:
                state = _opened(connection)
            except BaseException:
                connection.close()
                raise
        self._connection = connection
        return state

    def _discard(self, error: Exception) -> None:
        _log.error("kept_state_unreadable", path=str(self._path), error=str(error))
        self._let_go()
        for suffix in ("", "-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)

    def _let_go(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


@contextmanager
def open_state_file(folder: Path) -> Iterator[StateFile]:
    """Open the state in a gateway's folder; one that cannot be read is replaced by an empty one.

    Where there is none and a file cannot be made, the state is None or that of an earlier release, and each write tries
    again to make it.

    Raises:
        sqlite3.OperationalError: the disk or its permissions keep a state from being read, and it stays; or another
            follower has the file.
    """
    file = StateFile(folder)
    try:
        yield file
    finally:
        file.close()


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, check_same_thread=False, timeout=_LOCK_TIMEOUT_S)


def _opened(connection: sqlite3.Connection) -> KeptState | None:
    """Return what a file holds, and make its table if there is none in this format."""
    try:
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
        ((found,),) = connection.execute("PRAGMA quick_check(1)")
        if found != "ok":
            raise _UnreadableError(found)
        ((found,),) = connection.execute("PRAGMA user_version")
        if found == FORMAT:
            return _stored(connection)
        with _making():
            _make(connection)
    except sqlite3.DatabaseError as error:
        if _is_damage(error):
            raise _UnreadableError(str(error)) from error
        raise
    except (msgspec.MsgspecError, KeyError) as error:
        raise _UnreadableError(repr(error)) from error
    return None


@contextmanager
def _making() -> Iterator[None]:
    """Tell a file that cannot be made from one that another follower has."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _IN_USE:
            raise
        raise _NotMadeError(str(error)) from error


def _make(connection: sqlite3.Connection) -> None:
    with connection:
        connection.execute("BEGIN")
        connection.execute("DROP TABLE IF EXISTS parts")
        connection.execute(_CREATE)
        connection.execute(f"PRAGMA user_version = {FORMAT}")


def _stored(connection: sqlite3.Connection) -> KeptState | None:
    place: _Place | None = None
    parts: dict[Key, Any] = {}
    for kind, identifier, body in connection.execute("SELECT kind, id, body FROM parts ORDER BY rowid"):
        if (kind, identifier) == _PLACE:
            place = msgspec.json.decode(body, type=_Place)
        else:
            parts[kind, identifier] = msgspec.json.decode(body, type=TYPES[kind])
    if place is None:
        return None
    return KeptState(read_at_ms=place.read_at_ms, snapshot=snapshot_of(place.position, parts))


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGES


def _read_in_one_piece(path: Path) -> KeptState | None:
    try:
        return state_in_one_piece(path.read_bytes())
    except (OSError, msgspec.DecodeError) as error:
        _log.error("kept_state_unreadable", path=str(path), error=str(error))
        return None
