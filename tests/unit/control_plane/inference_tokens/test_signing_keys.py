"""Files of signing keys: who touches them, and which of them are deleted."""

import asyncio
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from control_plane.inference_tokens.signing_keys import MIN_UNUSED_S, SigningKeys
from control_plane.ports import CatalogueRow
from schemas.documents.access import Keyring
from schemas.events.access import SigningKey
from schemas.identifiers import Kind
from tests.support.fakes import FakeClock
from tests.support.memory_log import MemoryCatalogue
from tests.support.spec import WORKSPACE


class Kept(MemoryCatalogue):
    """A catalogue that holds a keyring."""

    def __init__(self) -> None:
        super().__init__({})

    def name(self, *keys: SigningKey) -> None:
        """Let the keyring name keys, as the events of rotations do."""
        row = CatalogueRow(
            workspace=WORKSPACE,
            kind=Kind.KEYRING,
            id="keyring-1",
            name="inference",
            created_at="",
            stream_version=1,
            body=msgspec.json.encode(Keyring(keys=keys)),
        )
        self.rows["keyring-1"] = row


@pytest.fixture
def catalogue() -> Kept:
    return Kept()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def keys(tmp_path: Path, catalogue: Kept, clock: FakeClock) -> SigningKeys:
    return SigningKeys(tmp_path, lambda: catalogue, workspace=WORKSPACE, clock=clock)


def on_disk(folder: Path) -> set[str]:
    return {path.stem.removeprefix("inference-signing-") for path in folder.glob("inference-signing-*.pem")}


def age(folder: Path, *, clock: FakeClock, seconds: float) -> None:
    """Let every file be this old."""
    written_at = clock.now_ms() / 1_000 - seconds
    for path in folder.iterdir():
        os.utime(path, (written_at, written_at))


async def test_a_rotation_keeps_its_files_off_the_event_loop(
    keys: SigningKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[threading.Thread] = []

    def noted(call: Callable[..., Any]) -> Callable[..., Any]:
        def noting(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401  whatever the call takes
            threads.append(threading.current_thread())
            return call(*arguments, **options)

        return noting

    with monkeypatch.context() as patched:
        for name in ("fsync", "replace"):
            patched.setattr(os, name, noted(getattr(os, name)))
        await keys.fresh()

    assert len(threads) == 2
    assert threading.current_thread() not in threads


async def test_two_rotations_at_the_same_time_keep_each_others_key(
    keys: SigningKeys, catalogue: Kept, clock: FakeClock, tmp_path: Path
) -> None:
    first, second = await asyncio.gather(keys.fresh(), keys.fresh())
    age(tmp_path, clock=clock, seconds=MIN_UNUSED_S - 1)

    catalogue.name(first)
    keys.discard_unused(catalogue)
    catalogue.name(first, second)
    age(tmp_path, clock=clock, seconds=MIN_UNUSED_S)
    keys.discard_unused(catalogue)

    assert on_disk(tmp_path) == {first.key_id, second.key_id}
    assert keys.signing()[0] == second.key_id


async def test_a_key_that_no_event_names_goes_once_it_is_old(
    keys: SigningKeys, catalogue: Kept, clock: FakeClock, tmp_path: Path
) -> None:
    named, unused = await keys.fresh(), await keys.fresh()
    catalogue.name(named)

    age(tmp_path, clock=clock, seconds=MIN_UNUSED_S - 1)
    keys.discard_unused(catalogue)
    before = on_disk(tmp_path)
    age(tmp_path, clock=clock, seconds=MIN_UNUSED_S)
    keys.discard_unused(catalogue)

    assert before == {named.key_id, unused.key_id}
    assert on_disk(tmp_path) == {named.key_id}
    assert not (tmp_path / "inference-signing.pem").exists()
    # Nothing is lost if it was the log that was wrong.
    assert (tmp_path / "discarded" / "inference-signing.pem").exists()


async def test_a_key_stays_while_the_rotation_that_ends_it_can_still_fail(
    keys: SigningKeys, catalogue: Kept, clock: FakeClock, tmp_path: Path
) -> None:
    committed, undecided = await keys.fresh(), await keys.fresh()
    catalogue.name(committed)
    of_the_group = Kept()
    of_the_group.name(undecided)
    age(tmp_path, clock=clock, seconds=MIN_UNUSED_S)

    keys.discard_unused(of_the_group)

    assert on_disk(tmp_path) == {committed.key_id, undecided.key_id}


async def test_what_a_crash_left_of_writing_a_key_goes_too(
    keys: SigningKeys, catalogue: Kept, clock: FakeClock, tmp_path: Path
) -> None:
    half = tmp_path / ".inference-signing-0123.pem.4567"
    half.touch()
    (tmp_path / "admin.token").touch()
    age(tmp_path, clock=clock, seconds=MIN_UNUSED_S)

    keys.discard_unused(catalogue)

    assert {path.name for path in tmp_path.iterdir()} == {"inference-signing.pem", "admin.token"}
