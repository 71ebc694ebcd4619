"""Files of signing keys: who touches them, and what rotations at the same time leave."""

import asyncio
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from control_plane.errors import Invalid
from control_plane.inference_tokens.signing_keys import SigningKeys
from control_plane.ports import CatalogueRow
from schemas.documents.access import Keyring
from schemas.events.access import SigningKey
from schemas.identifiers import Kind
from tests.support.fakes import FakeClock
from tests.support.memory_log import MemoryCatalogue
from tests.support.spec import WORKSPACE

_SAFEGUARD_S = 180.0


class Kept(MemoryCatalogue):
    """A catalogue that holds a keyring; `on_read` may do something between a reading and its answer."""

    def __init__(self) -> None:
        super().__init__({})
        self.on_read: Callable[[], None] = lambda: None

    def get(self, kind: Kind, identifier: str, *, workspace: str) -> CatalogueRow | None:
        found = super().get(kind, identifier, workspace=workspace)
        self.on_read()
        return found

    def name(self, *keys: SigningKey) -> None:
        """Let the keyring name keys, as the events of committed rotations do."""
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
def keys(tmp_path: Path, catalogue: Kept) -> SigningKeys:
    return SigningKeys(tmp_path, lambda: catalogue, workspace=WORKSPACE, clock=FakeClock())


def on_disk(folder: Path) -> set[str]:
    return {path.stem.removeprefix("inference-signing-") for path in folder.glob("inference-signing-*.pem")}


async def test_a_rotation_keeps_its_files_off_the_event_loop(
    keys: SigningKeys, catalogue: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[threading.Thread] = []

    def noted(call: Callable[..., Any]) -> Callable[..., Any]:
        def noting(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401  whatever the call takes
            threads.append(threading.current_thread())
            return call(*arguments, **options)

        return noting

    with monkeypatch.context() as patched:
        for name in ("fsync", "unlink", "replace"):
            patched.setattr(os, name, noted(getattr(os, name)))
        async with keys.fresh() as fresh:
            catalogue.name(fresh)
        with pytest.raises(Invalid):
            async with keys.fresh():
                raise Invalid("no, after all")

    assert len(threads) >= 5
    assert threading.current_thread() not in threads


async def test_a_rotation_deletes_what_no_event_names_and_what_was_refused(
    keys: SigningKeys, catalogue: Kept, tmp_path: Path
) -> None:
    async with keys.fresh() as first:
        catalogue.name(first)
    with pytest.raises(Invalid):
        async with keys.fresh():
            raise Invalid("no, after all")
    async with keys.fresh() as second:
        catalogue.name(second)

    assert on_disk(tmp_path) == {second.key_id}
    assert keys.signing()[0] == second.key_id


async def test_a_rotation_that_ends_while_another_cleans_up_keeps_its_key(
    keys: SigningKeys, catalogue: Kept, tmp_path: Path
) -> None:
    first_reads, second_ended = threading.Event(), threading.Event()

    def wait() -> None:
        catalogue.on_read = lambda: None
        first_reads.set()
        assert second_ended.wait(_SAFEGUARD_S)

    one, other = keys.fresh(), keys.fresh()
    first, second = await one.__aenter__(), await other.__aenter__()
    catalogue.name(first)
    catalogue.on_read = wait
    cleaning = asyncio.create_task(one.__aexit__(None, None, None))
    assert await asyncio.to_thread(first_reads.wait, _SAFEGUARD_S)

    catalogue.name(first, second)
    ending = asyncio.create_task(other.__aexit__(None, None, None))
    # It cannot end before the first one has; without that, it does so within this time.
    await asyncio.wait({ending}, timeout=0.05)
    second_ended.set()
    await asyncio.gather(cleaning, ending)

    assert on_disk(tmp_path) == {first.key_id, second.key_id}
