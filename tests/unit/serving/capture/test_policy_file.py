from pathlib import Path

import pytest

from infra.errors import CannotStartError
from schemas.events.endpoints import CapturePolicy
from serving.capture.policy_file import PolicyFile, PolicyInForce, write_policy

SPARING = PolicyInForce(version=4, policy=CapturePolicy(sampling_rate=0.5, hashed=("person",)))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "endpoint-1.json"
    write_policy(path, PolicyInForce())
    return path


def test_a_replaced_policy_is_told_once(path: Path) -> None:
    file = PolicyFile(path)
    assert file.read() == PolicyInForce()
    assert file.replaced() is None

    write_policy(path, SPARING)

    assert file.replaced() == SPARING
    assert file.replaced() is None


@pytest.mark.parametrize("content", [b"", b"{", b'{"policy": {"sampling_rate": 2}}', None])
def test_a_file_that_cannot_be_read_leaves_the_policy_in_force_and_lets_no_engine_start(
    path: Path, content: bytes | None
) -> None:
    file = PolicyFile(path)
    file.read()
    path.unlink()
    if content is not None:
        path.write_bytes(content)

    assert file.replaced() is None
    with pytest.raises(CannotStartError, match="not hold a capture policy"):
        PolicyFile(path).read()


def test_a_file_that_comes_back_is_followed_again(path: Path) -> None:
    file = PolicyFile(path)
    file.read()
    path.unlink()
    assert file.replaced() is None

    write_policy(path, SPARING)

    assert file.replaced() == SPARING
