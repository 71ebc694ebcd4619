"""Brings the tables of ClickHouse to the state that numbered SQL files describe.

A file ``0001_create_x.sql`` holds one or more statements, parted by lines that hold
only ``--;;``. ClickHouse has no transactions, so each statement is recorded once it is
done, and must bear being run twice (``IF NOT EXISTS``) for a crash in between.
"""

import hashlib
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import structlog
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from infra.errors import MigrationError

_FILE = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")
_PARTED = re.compile(r"^--;;[ \t]*$", re.MULTILINE)
_STATEMENT_SECONDS = 25
_STALE_SECONDS = 30
_PATIENCE_SECONDS = 90.0
_POLL_SECONDS = 0.2
_TABLE_ALREADY_EXISTS = "57"

_RECORDS = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    number UInt32, section UInt32, name String, checksum String, applied_at DateTime64(3, 'UTC') DEFAULT now64(3)
) ENGINE = ReplacingMergeTree(applied_at) ORDER BY (number, section)
"""
_log = structlog.get_logger(__name__)


class Migration(msgspec.Struct, frozen=True, kw_only=True):
    """One numbered file."""

    number: int
    name: str
    checksum: str
    statements: tuple[str, ...]


def read_migrations(folders: Iterable[Path]) -> list[Migration]:
    """Read the files of all folders in the order of their numbers.

    Raises:
        MigrationError: a name or number does not fit.
    """
    migrations: dict[int, Migration] = {}
    for path in sorted((path for folder in folders for path in folder.glob("*.sql")), key=lambda path: path.name):
        match = _FILE.fullmatch(path.name)
        if match is None:
            raise MigrationError(f"{path.name} is not named like 0001_create_a_table.sql")
        migration = _read(path, int(match[1]))
        if migration.number in migrations:
            raise MigrationError(f"{path.name} has the same number as {migrations[migration.number].name}")
        migrations[migration.number] = migration
    return list(migrations.values())


def migrate(client: Client, folders: Iterable[Path]) -> list[str]:
    """Apply what is missing and return the names of the files that were applied.

    Refuses, before anything runs, a file that was edited after it was applied and a
    database that knows a migration which is in none of the folders. Of several migrators
    that start at once one works and the others wait.
    """
    migrations = read_migrations(folders)
    client.command(_RECORDS)
    with _hold_lock(client):
        applied = _applied(client)
        _compare(migrations, {number: known for (number, _), known in applied.items()})
        return [
            migration.name for migration in migrations if _apply(client, migration, {key for key, _ in applied.items()})
        ]


def _read(path: Path, number: int) -> Migration:
    content = path.read_text(encoding="utf-8")
    statements = tuple(part.strip().rstrip(";") for part in _PARTED.split(content) if part.strip())
    if not statements:
        raise MigrationError(f"{path.name} contains no statement")
    checksum = hashlib.sha256(content.encode()).hexdigest()
    return Migration(number=number, name=path.name, checksum=checksum, statements=statements)


def _applied(client: Client) -> dict[tuple[int, int], tuple[str, str]]:
    rows = client.query("SELECT number, section, name, checksum FROM schema_migrations FINAL").result_rows
    return {(number, section): (name, checksum) for number, section, name, checksum in rows}


def _compare(migrations: list[Migration], applied: dict[int, tuple[str, str]]) -> None:
    here = {migration.number: migration for migration in migrations}
    for number, (name, checksum) in sorted(applied.items()):
        if number not in here:
            raise MigrationError(
                f"migration {name} is applied, but this program does not have it; the program is older than the "
                "database"
            )
        if here[number].checksum != checksum:
            raise MigrationError(
                f"{here[number].name} was edited after it was applied; undo the edit and add a file with the next "
                "number"
            )


def _apply(client: Client, migration: Migration, done: set[tuple[int, int]]) -> bool:
    missing = [
        (section, statement)
        for section, statement in enumerate(migration.statements)
        if (migration.number, section) not in done
    ]
    for section, statement in missing:
        _show_life(client)
        try:
            client.command(statement, settings={"max_execution_time": _STATEMENT_SECONDS})
        except DatabaseError as error:
            raise MigrationError(f"{migration.name}, statement {section + 1}, failed: {error}") from error
        row = [migration.number, section, migration.name, migration.checksum]
        client.insert("schema_migrations", [row], column_names=["number", "section", "name", "checksum"])
    if missing:
        _log.info("migration_applied", name=migration.name, statements=len(missing))
    return bool(missing)


@contextmanager
def _hold_lock(client: Client) -> Iterator[None]:
    """Hold a lock that is a table: its creation is atomic, its comment shows that the holder is alive."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not _take(client):
        if time.monotonic() > deadline:
            raise MigrationError(
                "another migrator holds schema_migrations_lock and does not finish; check what it is doing"
            )
        _drop_if_stale(client)
        time.sleep(_POLL_SECONDS)
    try:
        yield
    finally:
        client.command("DROP TABLE IF EXISTS schema_migrations_lock")


def _take(client: Client) -> bool:
    try:
        client.command("CREATE TABLE schema_migrations_lock (since DateTime) ENGINE = Memory COMMENT 'taken'")
    except DatabaseError as error:
        if f"Code: {_TABLE_ALREADY_EXISTS}." not in str(error) and "TABLE_ALREADY_EXISTS" not in str(error):
            raise
        return False
    return True


def _show_life(client: Client) -> None:
    client.command(f"ALTER TABLE schema_migrations_lock MODIFY COMMENT 'alive at {time.time_ns()}'")


def _drop_if_stale(client: Client) -> None:
    silent = client.query(
        "SELECT uuid FROM system.tables WHERE database = currentDatabase() AND name = 'schema_migrations_lock' "
        "AND metadata_modification_time < now() - {seconds:UInt32}",
        {"seconds": _STALE_SECONDS},
    ).result_rows
    if silent:
        _log.warning("migration_lock_of_a_dead_holder_dropped")
        client.command("DROP TABLE IF EXISTS schema_migrations_lock")
