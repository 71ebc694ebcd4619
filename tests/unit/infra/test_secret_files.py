"""Secrets in files of programs other than the API: the password of ClickHouse, and a program's own token."""

from collections.abc import Callable
from pathlib import Path

import pytest

from infra.bearer_token import read_bearer_token
from infra.data_directory import DataDirectory
from infra.errors import TokenUnreadableError
from infra.secret_files import SecretFileError
from infra.stack.programs import clickhouse_password

GARBAGE = b"\xff\xfe garbage \x00"
DAMAGES: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "blank": lambda path: path.write_bytes(b" \n"),
    "garbage": lambda path: path.write_bytes(GARBAGE),
    "two lines": lambda path: path.write_bytes(b"one-secret\nanother-secret"),
    "a directory": lambda path: path.mkdir(),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_password_of_clickhouse_is_a_refusal_to_start(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    path = tmp_path / "secrets" / "clickhouse.password"
    path.parent.mkdir()
    damage(path)

    with pytest.raises(SecretFileError, match="delete it") as refusal:
        clickhouse_password(DataDirectory(tmp_path))

    assert str(path) in str(refusal.value)
    assert "garbage" not in str(refusal.value)
    assert "another-secret" not in str(refusal.value)


def test_a_missing_password_of_clickhouse_is_made_once(tmp_path: Path) -> None:
    data = DataDirectory(tmp_path)

    assert len(clickhouse_password(data)) >= 24
    assert clickhouse_password(data) == clickhouse_password(data)


@pytest.mark.parametrize("damage", [lambda _: None, *DAMAGES.values()], ids=["missing", *DAMAGES])
def test_a_programs_token_that_cannot_be_read_counts_as_a_connection_that_failed(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    path = tmp_path / "service.token"
    damage(path)

    with pytest.raises(TokenUnreadableError, match=r"service\.token") as failed:
        read_bearer_token(path)

    assert isinstance(failed.value, OSError)
