"""Digests of captured values: equal within a workspace, and worth nothing to another."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from infra.secret_files import SecretFileError
from schemas.events.endpoints import CapturePolicy
from serving.capture.in_engine.rollbook_capture.policy import PolicyFile as InEngine
from serving.capture.policy import captured_inputs
from serving.capture.policy_file import PolicyFile, PolicyInForce
from workers.serving_agent.digest_keys import open_digest_keys

POLICY = CapturePolicy(hashed=("person",))
BODY = b'{"inputs":[{"name":"person","datatype":"BYTES","shape":[1],"data":["Ada"]}]}'


def digest(folder: Path, workspace: str) -> str:
    """Return the digest of the same value as an engine of a workspace writes it."""
    key = open_digest_keys(folder / "secrets" / "capture-digests.key").of(workspace)
    kept = json.loads(captured_inputs(POLICY, BODY, hash_key=bytes.fromhex(key)))
    found: str = kept["person"]["blake2b"]
    return found


def test_equal_values_have_equal_digests_in_a_workspace_also_after_a_restart(tmp_path: Path) -> None:
    assert digest(tmp_path, "tenant") == digest(tmp_path, "tenant")


def test_equal_values_have_different_digests_in_two_workspaces_and_in_two_installations(tmp_path: Path) -> None:
    assert len({digest(tmp_path, "tenant"), digest(tmp_path, "other"), digest(tmp_path / "elsewhere", "tenant")}) == 3


def test_a_guess_with_what_a_workspace_knows_does_not_find_the_value_of_another(tmp_path: Path) -> None:
    secret = digest(tmp_path, "tenant")
    keys = open_digest_keys(tmp_path / "secrets" / "capture-digests.key")

    guesses = (b"tenant", b"endpoint-1", keys.of("other").encode(), bytes.fromhex(keys.of("other")))

    assert all(secret not in captured_inputs(POLICY, BODY, hash_key=guess) for guess in guesses)


def test_agents_that_start_at_once_use_the_same_secret(tmp_path: Path) -> None:
    path = tmp_path / "secrets" / "capture-digests.key"

    with ThreadPoolExecutor(8) as pool:
        keys = {made.of("tenant") for made in pool.map(open_digest_keys, [path] * 32)}

    assert len(keys) == 1
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"\xff garbage"),
        lambda path: path.write_text("00" * 16),
        lambda path: path.mkdir(),
    ],
    ids=["empty", "garbage", "short", "a directory"],
)
def test_a_damaged_secret_is_a_refusal_to_start(tmp_path: Path, damage: Callable[[Path], object]) -> None:
    path = tmp_path / "capture-digests.key"
    damage(path)

    with pytest.raises(SecretFileError, match="put it back from a backup"):
        open_digest_keys(path)


def test_a_policy_does_not_show_its_key() -> None:
    assert "5ec4e7" not in repr(PolicyInForce(hash_key="5ec4e7"))


def test_an_engine_that_was_handed_no_key_makes_digests_that_nobody_can_guess(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    path.write_text('{"version":1,"policy":{"hashed":["person"]}}')
    values = {"person": "Ada"}

    made = [InEngine(path).read().kept(values, names=None)["person"]["blake2b"] for _ in range(2)]

    assert PolicyFile(path).read().hash_key == ""
    assert made[0] != made[1]
