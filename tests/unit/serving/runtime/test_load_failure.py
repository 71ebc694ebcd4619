"""What the agent believes of what an engine says about its failure."""

from pathlib import Path

import pytest

from serving.runtime.load_failure import LoadFailure, find_failure, leave_failure

TOLD = LoadFailure(code="signature-mismatch", reason="output 'label' has 2 rows for 3 inputs")


def test_what_a_runtime_left_is_found(tmp_path: Path) -> None:
    leave_failure(tmp_path, TOLD)

    assert find_failure(tmp_path) == TOLD


def test_a_long_reason_is_cut(tmp_path: Path) -> None:
    leave_failure(tmp_path, LoadFailure(code="model-fails", reason="x" * 50_000))

    found = find_failure(tmp_path)

    assert found is not None
    assert len(found.reason) == 4_000


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[" * 10_000,
        b'{"code": "", "reason": "x"}',
        b'{"code": "model-fails", "reason": ""}',
        b'{"code": "Anything / else", "reason": "x"}',
        b'{"code": "model-fails", "reason": "' + b"x" * 1_000_000 + b'"}',
    ],
)
def test_what_makes_no_sense_is_as_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "failure.json").write_bytes(content)

    assert find_failure(tmp_path) is None
