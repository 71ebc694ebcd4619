import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client

from infra.clickhouse.client import connect
from infra.clickhouse.migrator import migrate
from infra.errors import MigrationError
from tests.integration.clickhouse.conftest import PASSWORD, Server


@pytest.fixture
def database(server: Server, client: Client, tmp_path: Path) -> Iterator[str]:
    name = f"d{abs(hash(str(tmp_path)))}"
    client.command(f"CREATE DATABASE {name}")
    yield f"http://default:{PASSWORD}@127.0.0.1:{server.port}/{name}"
    client.command(f"DROP DATABASE {name}")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "0001_add_a.sql").write_text(
        "CREATE TABLE a (x UInt8) ENGINE = MergeTree ORDER BY x;\n--;;\nINSERT INTO a VALUES (1)\n"
    )
    return tmp_path


def test_files_are_applied_once_and_in_order(database: str, folder: Path) -> None:
    client = connect(database)

    assert migrate(client, [folder]) == ["0001_add_a.sql"]
    (folder / "0002_add_b.sql").write_text("CREATE TABLE b AS a")
    assert migrate(client, [folder]) == ["0002_add_b.sql"]
    assert migrate(client, [folder]) == []

    assert client.query("SELECT x FROM a").result_rows == [(1,)]


def test_an_edited_file_is_refused_before_anything_runs(database: str, folder: Path) -> None:
    client = connect(database)
    migrate(client, [folder])
    (folder / "0001_add_a.sql").write_text("CREATE TABLE a (x UInt16) ENGINE = MergeTree ORDER BY x")
    (folder / "0002_add_b.sql").write_text("CREATE TABLE b AS a")

    with pytest.raises(MigrationError, match=r"0001_add_a\.sql was edited after it was applied"):
        migrate(client, [folder])

    assert client.query("EXISTS TABLE b").result_rows == [(0,)]


def test_a_database_that_is_ahead_is_refused(database: str, folder: Path) -> None:
    client = connect(database)
    migrate(client, [folder])
    (folder / "0001_add_a.sql").unlink()

    with pytest.raises(MigrationError, match="older than the database"):
        migrate(client, [folder])


def test_after_a_failure_the_statements_that_were_done_are_not_run_again(database: str, folder: Path) -> None:
    client = connect(database)
    path = folder / "0001_add_a.sql"
    good = path.read_text()
    path.write_text(good + "--;;\nINSERT INTO nowhere VALUES (1)\n")
    with pytest.raises(MigrationError, match="statement 3, failed"):
        migrate(client, [folder])
    client.command("CREATE TABLE nowhere (x UInt8) ENGINE = Memory")

    assert migrate(client, [folder]) == ["0001_add_a.sql"]

    assert client.query("SELECT count() FROM a").result_rows == [(1,)]


def test_two_migrators_at_once_apply_each_statement_once(database: str, folder: Path) -> None:
    applied: list[list[str]] = []
    threads = [threading.Thread(target=lambda: applied.append(migrate(connect(database), [folder]))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(applied) == [[], [], ["0001_add_a.sql"]]
    assert connect(database).query("SELECT count() FROM a").result_rows == [(1,)]
