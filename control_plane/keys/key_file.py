"""Subject keys in a file outside the log and its backups, made so that a deleted key leaves no byte behind."""

import secrets
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Protocol

import msgspec

from control_plane.keys.errors import KeysUnavailableError
from infra.secret_files import SecretFileError

_CREATE = """
CREATE TABLE IF NOT EXISTS subject_keys (
    key_id TEXT PRIMARY KEY,
    subject TEXT NOT NULL,
    secret BLOB NOT NULL
) STRICT, WITHOUT ROWID
"""
# A rollback journal is a file of its own that is gone after each transaction, so no log of old pages stays; freed cells
# are overwritten; temporary pages (VACUUM copies the table) never reach a disk.
_PRAGMAS = ("journal_mode = DELETE", "secure_delete = ON", "synchronous = FULL", "temp_store = MEMORY")
_KEY_BYTES = 32
_COUNT_UNUSABLE = f"SELECT count(*) FROM subject_keys WHERE length(secret) != {_KEY_BYTES} OR subject = ''"  # noqa: S608
_REMEDY = "put it back from a backup; no other file opens the personal values of the log"


class SubjectKey(msgspec.Struct, frozen=True, kw_only=True):
    """The AES-256 key of one subject."""

    key_id: str
    subject: str
    secret: bytes

    def __repr__(self) -> str:
        return f"SubjectKey(key_id={self.key_id!r})"


class KeyStore(Protocol):
    """Where subject keys live. Safe from any thread; a key saved is durable, a key shredded is gone forever."""

    def key(self, key_id: str) -> SubjectKey | None:
        """Return a key by its id."""

    def keys_of(self, subject: str) -> tuple[SubjectKey, ...]:
        """Return the keys of a subject, ordered by id."""

    def save(self, keys: Sequence[SubjectKey]) -> None:
        """Keep fresh keys, durably when this returns."""

    def shred(self, key_ids: Iterable[str]) -> None:
        """Delete keys; repeating it changes nothing."""


def fresh_key(subject: str) -> SubjectKey:
    return SubjectKey(key_id=f"key-{secrets.token_hex(16)}", subject=subject, secret=secrets.token_bytes(_KEY_BYTES))


class KeyFile:
    """A `KeyStore` in one SQLite file, held open by one process."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._lock = Lock()

    def key(self, key_id: str) -> SubjectKey | None:
        found = self._select("key_id = ?", key_id)
        return found[0] if found else None

    def keys_of(self, subject: str) -> tuple[SubjectKey, ...]:
        return self._select("subject = ?", subject)

    def save(self, keys: Sequence[SubjectKey]) -> None:
        rows = [(key.key_id, key.subject, key.secret) for key in keys]
        with self._writing() as connection:
            connection.executemany("INSERT INTO subject_keys (key_id, subject, secret) VALUES (?, ?, ?)", rows)

    def shred(self, key_ids: Iterable[str]) -> None:
        with self._writing() as connection:
            connection.executemany("DELETE FROM subject_keys WHERE key_id = ?", [(key_id,) for key_id in key_ids])
        with self._lock, _translate_key_errors():
            # Moving cells between pages may leave copies in the gaps of a page; a rewritten file has no such gaps.
            self._connection.execute("VACUUM")

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def _select(self, condition: str, value: str) -> tuple[SubjectKey, ...]:
        statement = f"SELECT key_id, subject, secret FROM subject_keys WHERE {condition} ORDER BY key_id"  # noqa: S608
        with self._lock, _translate_key_errors():
            found = self._connection.execute(statement, (value,)).fetchall()
        return tuple(SubjectKey(key_id=key_id, subject=subject, secret=secret) for key_id, subject, secret in found)

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock, _translate_key_errors(), self._connection:
            yield self._connection


@contextmanager
def open_key_file(path: Path) -> Iterator[KeyFile]:
    """Open the keys, or make an empty file that only this user can read.

    Raises:
        SecretFileError: the file cannot be used, or holds something else.
    """
    try:
        path.touch(mode=0o600, exist_ok=True)
        connection = sqlite3.connect(path, check_same_thread=False)
    except (sqlite3.Error, OSError) as error:
        raise SecretFileError(path, f"cannot be opened ({error})", remedy=_REMEDY) from error
    try:
        _prepare(connection, path)
    except BaseException:
        connection.close()
        raise
    keys = KeyFile(connection)
    try:
        yield keys
    finally:
        keys.close()


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    try:
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
        with connection:
            connection.execute(_CREATE)
        ((verdict,), *_) = connection.execute("PRAGMA quick_check").fetchall()
        ((unusable,),) = connection.execute(_COUNT_UNUSABLE).fetchall()
    except sqlite3.Error as error:
        raise SecretFileError(path, f"does not hold keys ({error})", remedy=_REMEDY) from error
    if verdict != "ok" or unusable:
        raise SecretFileError(path, "is damaged", remedy=_REMEDY)


@contextmanager
def _translate_key_errors() -> Iterator[None]:
    try:
        yield
    except (sqlite3.IntegrityError, sqlite3.ProgrammingError):
        raise
    except (sqlite3.DatabaseError, OSError) as error:
        raise KeysUnavailableError(
            f"the keys of personal data cannot be written or read ({error})",
            remedy="check keys.sqlite, and the disk space and permissions of its folder, then try again",
        ) from error
