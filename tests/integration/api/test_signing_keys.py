"""The private halves of signing keys beside the store that names them: rotations, crashes and what is deleted when."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from itertools import count
from pathlib import Path

import msgspec
import pytest

from control_plane.event_store.sqlite_store import SqliteStore, open_sqlite_store
from control_plane.inference_tokens.aggregate import KEYRINGS
from control_plane.inference_tokens.commands import RotateSigningKey
from control_plane.inference_tokens.errors import SigningKeyMissingError
from control_plane.inference_tokens.handlers import KeyChange, begin_keyring, rotate_signing_key
from control_plane.inference_tokens.signing_keys import MIN_UNUSED_S, SigningKeys, SigningKeyStore
from control_plane.inference_tokens.unused_keys import UnusedKeys
from control_plane.keys.key_file import open_key_file
from control_plane.ports import Reply, UnitOfWork
from infra.clock import SystemClock
from schemas.events.access import SigningKey
from schemas.identifiers import Kind
from tests.support.store import WORKSPACE, context

ALONE = RotateSigningKey(reason="leaked", overlap_s=0)


class Stand(msgspec.Struct):
    """A store and its signing keys, as one start of the API has them."""

    folder: Path
    store: SqliteStore
    all_keys: SigningKeyStore
    unused: UnusedKeys

    @property
    def keys(self) -> SigningKeys:
        return self.all_keys.of(WORKSPACE)

    async def commit(self, fresh: SigningKey) -> None:
        change = KeyChange(first=None, fresh=fresh, require_private=self.keys.require_private)
        await self.store.execute(context(), partial(rotate_signing_key, command=ALONE, keys=change))

    async def discard_the_old(self) -> None:
        """Let all files be old enough, and those that are unused go."""
        for path in self.folder.rglob("*.pem"):
            written_at = path.stat().st_mtime - MIN_UNUSED_S
            os.utime(path, (written_at, written_at))
        await self.unused.discard()

    def on_disk(self, workspace: str = WORKSPACE) -> set[str]:
        folder = self.folder if workspace == WORKSPACE else self.folder / "workspaces" / workspace
        return {path.stem.removeprefix("inference-signing-") for path in folder.glob("inference-signing-*.pem")}


@asynccontextmanager
async def started(folder: Path) -> AsyncIterator[Stand]:
    numbers: Iterator[int] = count(1)
    with open_key_file(folder / "keys.sqlite") as subject_keys:
        async with open_sqlite_store(
            folder / "registry.sqlite",
            keys=subject_keys,
            aggregates={Kind.KEYRING: KEYRINGS},
            clock=SystemClock(),
            randomness=lambda: next(numbers),
            after_commit=lambda _: None,
        ) as store:
            keys = SigningKeyStore(folder, store.catalogue, home=WORKSPACE, clock=SystemClock())
            yield Stand(folder, store, keys, UnusedKeys(store, keys, new_command_id=lambda: "command-1"))


async def test_of_two_interleaved_rotations_each_keeps_its_key_and_the_last_one_signs(tmp_path: Path) -> None:
    async with started(tmp_path) as stand:
        one, other = await stand.keys.fresh(), await stand.keys.fresh()
        await stand.commit(other)
        await stand.unused.discard()
        kept = stand.on_disk()

        await stand.commit(one)
        await stand.discard_the_old()

        assert kept == {one.key_id, other.key_id}
        assert stand.on_disk() == {one.key_id}
        assert stand.keys.signing()[0] == one.key_id


async def test_a_rotation_whose_caller_went_away_may_be_committed_after_the_next_one(tmp_path: Path) -> None:
    async with started(tmp_path) as stand:
        left = await stand.keys.fresh()
        await stand.commit(await stand.keys.fresh())
        await stand.unused.discard()

        await stand.commit(left)

        assert stand.keys.signing()[0] == left.key_id


async def test_a_rotation_that_waited_until_its_key_was_deleted_is_refused_and_the_old_key_signs(
    tmp_path: Path,
) -> None:
    async with started(tmp_path) as stand:
        before = await stand.keys.fresh()
        await stand.commit(before)
        late = await stand.keys.fresh()
        await stand.discard_the_old()

        with pytest.raises(SigningKeyMissingError):
            await stand.commit(late)

        assert stand.on_disk() == {before.key_id}
        assert stand.keys.signing()[0] == before.key_id


async def test_a_crash_between_the_file_and_the_event_leaves_a_file_that_goes(tmp_path: Path) -> None:
    async with started(tmp_path) as stand:
        before = await stand.keys.fresh()
        await stand.commit(before)
        crashed = await stand.keys.fresh()
    async with started(tmp_path) as again:
        await again.unused.discard()
        young = again.on_disk()
        await again.discard_the_old()

        assert young == {before.key_id, crashed.key_id}
        assert again.on_disk() == {before.key_id}
        assert again.keys.signing()[0] == before.key_id


async def test_a_crash_after_the_event_leaves_the_key_that_signs(tmp_path: Path) -> None:
    async with started(tmp_path) as stand:
        await stand.commit(await stand.keys.fresh())
        last = await stand.keys.fresh()
        await stand.commit(last)
    async with started(tmp_path) as again:
        await again.discard_the_old()

        assert again.on_disk() == {last.key_id}
        assert again.keys.signing()[0] == last.key_id


async def test_a_rotation_in_the_group_of_a_look_keeps_what_it_names(tmp_path: Path) -> None:
    async with started(tmp_path) as stand:
        await stand.commit(await stand.keys.fresh())
        rotations = [await stand.keys.fresh() for _ in range(8)]

        await asyncio.gather(*(work for key in rotations for work in (stand.commit(key), stand.unused.discard())))
        await stand.discard_the_old()

        assert stand.on_disk() == {rotations[-1].key_id}


async def test_keys_of_another_workspace_go_by_its_own_keyring(tmp_path: Path) -> None:
    async with started(tmp_path) as stand:
        keys = stand.all_keys.of("tenant")
        home, named, unused = await stand.keys.fresh(), await keys.fresh(), await keys.fresh()
        await stand.commit(home)

        def begin(unit: UnitOfWork) -> Reply:
            begin_keyring(unit, fresh=named, require_private=keys.require_private)
            return Reply(status=200, body=b"{}", stream_version=None)

        await stand.store.execute(context(workspace="tenant"), begin)
        never_created = await stand.all_keys.of("never-created").fresh()
        young = stand.on_disk("tenant") | stand.on_disk("never-created")
        await stand.discard_the_old()

        assert young == {named.key_id, unused.key_id, never_created.key_id}
        assert stand.on_disk() == {home.key_id}
        assert stand.on_disk("tenant") == {named.key_id}
        assert stand.on_disk("never-created") == set()
