from pathlib import Path

import pytest

from infra.clickhouse.migrator import read_migrations
from infra.errors import MigrationError


def test_files_are_read_in_order_and_split_at_the_delimiter_only(tmp_path: Path) -> None:
    (tmp_path / "0002_add_b.sql").write_text("CREATE TABLE b (s String DEFAULT 'x;--;;');\n--;;\nSELECT 1\n--;;\n")
    (tmp_path / "0001_add_a.sql").write_text("CREATE TABLE a\n")

    first, second = read_migrations([tmp_path])

    assert (first.number, first.statements) == (1, ("CREATE TABLE a",))
    assert second.statements == ("CREATE TABLE b (s String DEFAULT 'x;--;;')", "SELECT 1")


def test_one_numbering_goes_through_all_folders(tmp_path: Path) -> None:
    for name in ("b/0001_add_a.sql", "a/0002_add_b.sql", "b/0003_add_c.sql"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("SELECT 1")

    read = read_migrations([tmp_path / "a", tmp_path / "b"])

    assert [migration.name for migration in read] == ["0001_add_a.sql", "0002_add_b.sql", "0003_add_c.sql"]


@pytest.mark.parametrize("name", ["1_x.sql", "0001-x.sql", "x.sql"])
def test_a_file_without_a_number_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("SELECT 1")

    with pytest.raises(MigrationError, match="is not named like"):
        read_migrations([tmp_path])


def test_two_files_with_one_number_are_refused(tmp_path: Path) -> None:
    for name in ("0001_a.sql", "0001_b.sql"):
        (tmp_path / name).write_text("SELECT 1")

    with pytest.raises(MigrationError, match=r"0001_b\.sql has the same number as 0001_a\.sql"):
        read_migrations([tmp_path])
