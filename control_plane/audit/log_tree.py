"""The tree of the running store, grown as the log grows, and the checkpoints that the API gives out."""

from base64 import b64encode
from threading import Lock

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from control_plane.audit.checkpoint import ORIGIN, Checkpoint, sign, verifier_key
from control_plane.audit.merkle import CompactTree
from control_plane.ports import EventStore

_BATCH = 2_000


class SignedCheckpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A signed note with its parts beside it; `root` is base64, `public_key` a verifier key of signed notes."""

    checkpoint: str
    tree_size: int
    root: str
    position: int
    public_key: str


class LogTree:
    """Remembers the tree up to the last position it saw, so that a checkpoint costs what is new, and O(log n)."""

    def __init__(self, store: EventStore, key: Ed25519PrivateKey, *, origin: str = ORIGIN) -> None:
        self._store = store
        self._key = key
        self._origin = origin
        self._tree = CompactTree()
        self._position = 0
        self._lock = Lock()

    def checkpoint(self) -> SignedCheckpoint:
        """Sign the log as it is now. Reads what is new since the last call, so call it in a thread; safe from any."""
        with self._lock:
            self._catch_up()
            size, root, position = self._tree.size, self._tree.root(), self._position
        note = sign(Checkpoint(origin=self._origin, size=size, root=root), self._key)
        return SignedCheckpoint(
            checkpoint=note,
            tree_size=size,
            root=b64encode(root).decode(),
            position=position,
            public_key=verifier_key(self._key.public_key(), origin=self._origin),
        )

    def _catch_up(self) -> None:
        while batch := self._store.read(after=self._position, limit=_BATCH):
            for event in batch:
                self._tree.append_event(event.envelope.id, event.canonical)
            self._position = batch[-1].position
