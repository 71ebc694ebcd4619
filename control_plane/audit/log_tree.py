"""The tree of the running store, grown as the log grows, and the checkpoints that the API gives out."""

import asyncio
from base64 import b64encode
from collections.abc import Sequence
from copy import deepcopy

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from control_plane.audit.checkpoint import ORIGIN, Checkpoint, sign, verifier_key
from control_plane.audit.merkle import CompactTree
from control_plane.log.ports import LoggedEvent, LogReader
from control_plane.log.reading import batches_of
from schemas.envelope import decode


class SignedCheckpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A signed note with its parts beside it; `root` is base64, `public_key` a verifier key of signed notes."""

    checkpoint: str
    tree_size: int
    root: str
    position: int
    public_key: str


class LogTree:
    """Remembers the tree up to the last position it saw, so that a checkpoint costs what is new, and O(log n)."""

    def __init__(self, log: LogReader, key: Ed25519PrivateKey, *, origin: str = ORIGIN) -> None:
        self._log = log
        self._key = key
        self._origin = origin
        self._tree = CompactTree()
        self._position = 0
        self._lock = asyncio.Lock()

    async def checkpoint(self) -> SignedCheckpoint:
        """Sign the log as it is now. Reads what is new since the last call; calls wait for each other."""
        async with self._lock:
            async for batch in batches_of(self._log, after=self._position):
                # The thread has a tree of its own: a caller who goes away leaves the thread at work.
                self._tree = await asyncio.to_thread(_grown, self._tree, batch)
                self._position = batch[-1].position
            size, root, position = self._tree.size, self._tree.root(), self._position
        note = sign(Checkpoint(origin=self._origin, size=size, root=root), self._key)
        return SignedCheckpoint(
            checkpoint=note,
            tree_size=size,
            root=b64encode(root).decode(),
            position=position,
            public_key=verifier_key(self._key.public_key(), origin=self._origin),
        )


def _grown(tree: CompactTree, events: Sequence[LoggedEvent]) -> CompactTree:
    grown = deepcopy(tree)
    for event in events:
        grown.append_event(decode(event.canonical).id, event.canonical)
    return grown
