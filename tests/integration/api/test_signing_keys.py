"""The private halves of signing keys beside the store that names them."""

import asyncio
from functools import partial
from pathlib import Path

import pytest

from control_plane.event_store.sqlite_store import open_sqlite_store
from control_plane.inference_tokens.aggregate import KEYRINGS
from control_plane.inference_tokens.commands import RotateSigningKey
from control_plane.inference_tokens.handlers import KeyChange, rotate_signing_key
from control_plane.inference_tokens.signing_keys import SigningKeys
from control_plane.keys.key_file import open_key_file
from infra.clock import SystemClock
from schemas.identifiers import Kind
from tests.support.store import WORKSPACE, context


async def test_a_rotation_whose_caller_went_away_may_be_committed_after_the_next_one(tmp_path: Path) -> None:
    command = RotateSigningKey(reason="leaked", overlap_s=0)
    with open_key_file(tmp_path / "keys.sqlite") as subject_keys:
        async with open_sqlite_store(
            tmp_path / "registry.sqlite",
            keys=subject_keys,
            aggregates={Kind.KEYRING: KEYRINGS},
            clock=SystemClock(),
            randomness=lambda: 1,
            after_commit=lambda _: None,
        ) as store:
            keys = SigningKeys(tmp_path, store.catalogue, workspace=WORKSPACE, clock=SystemClock())
            with pytest.raises(asyncio.CancelledError):
                async with keys.fresh() as left:
                    raise asyncio.CancelledError
            async with keys.fresh() as fresh:
                await store.execute(
                    context(), partial(rotate_signing_key, command=command, keys=KeyChange(first=None, fresh=fresh))
                )

            await store.execute(
                context(), partial(rotate_signing_key, command=command, keys=KeyChange(first=None, fresh=left))
            )

            assert keys.signing()[0] == left.key_id
