from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from infra.log_identity import log_id_in


def test_a_log_keeps_its_id(tmp_path: Path) -> None:
    assert log_id_in(tmp_path) == log_id_in(tmp_path)


def test_a_log_in_another_folder_has_another_id(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()

    assert log_id_in(tmp_path) != log_id_in(tmp_path / "other")


@pytest.mark.parametrize("content", [b"", b"log-", b"\xff\0", b"log-1\n"], ids=["empty", "cut", "no text", "edited"])
def test_a_damaged_id_is_replaced_once(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "log-id").write_bytes(content)

    found = log_id_in(tmp_path)

    assert found.encode() != content
    assert log_id_in(tmp_path) == found


def test_programs_that_start_together_find_the_same_id(tmp_path: Path) -> None:
    with ThreadPoolExecutor(max_workers=8) as pool:
        found = set(pool.map(lambda _: log_id_in(tmp_path), range(64)))

    assert len(found) == 1
