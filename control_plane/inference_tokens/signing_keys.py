"""The private halves of a workspace's signing keys, one file each; the keyring on the log says which of them counts."""

import asyncio
import base64
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import structlog
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from control_plane.inference_tokens.aggregate import NAME, as_of
from control_plane.inference_tokens.errors import SigningKeyMissingError
from control_plane.keys.secret_files import load_key, load_or_make_key, write_key
from control_plane.ports import Catalogue
from infra.clock import Clock
from infra.data_directory import folder_of_workspace, folders_of_workspaces
from schemas.documents.access import Keyring
from schemas.envelope import rfc3339
from schemas.events.access import SigningKey
from schemas.identifiers import Kind

_FIRST = "inference-signing.pem"
_BEGINNING = rfc3339(0)
MIN_UNUSED_S = 10 * 60
"""How old the file of a private half is at least when it is deleted: commands that may still name it wait for less."""

_log = structlog.get_logger(__name__)


class SigningKeys:
    """Keys of one workspace, whose ids begin with `prefix`.

    The home workspace has a key of the first start, which counts until a rotation; it alone has no event.

    A private half is on disk before any event names it, and only the store's writer deletes: what it does between two
    commands, no rotation can contradict. Safe from any thread.
    """

    def __init__(
        self,
        secrets_dir: Path,
        catalogue: Callable[[], Catalogue],
        *,
        workspace: str,
        clock: Clock,
        prefix: str = "",
        is_home: bool = True,
    ) -> None:
        self._secrets_dir = secrets_dir
        self._catalogue = catalogue
        self._workspace = workspace
        self._clock = clock
        self._prefix = prefix
        self._private: dict[str, Ed25519PrivateKey] = {}
        self._first = self._load_first() if is_home and not self.keyring().keys else None

    @property
    def first(self) -> SigningKey | None:
        """Return the key of the first start while no rotation has replaced it."""
        return self._first

    def keyring(self) -> Keyring:
        """Return what counts now."""
        return self._keyring_in(self._catalogue())

    def public(self) -> tuple[SigningKey, ...]:
        """Return the keys whose tokens are good now, and the one that signs next."""
        return self.keyring().keys or ((self._first,) if self._first else ())

    def signing(self) -> tuple[str, Ed25519PrivateKey]:
        """Return the id and the private half of the key that signs now.

        Raises:
            SigningKeyMissingError: its file is gone, or the workspace has no key.
        """
        now = rfc3339(self._clock.now_ms())
        signing = [key.key_id for key in self.public() if key.signs_from <= now]
        if not signing:
            raise SigningKeyMissingError(f"{self._prefix}…")
        key_id = signing[-1]
        private = self._private.get(key_id)
        if private is None:
            try:
                private = self._private[key_id] = load_key(self._file_of(key_id))
            except (OSError, ValueError, TypeError) as error:
                raise SigningKeyMissingError(key_id) from error
        return key_id, private

    async def fresh(self) -> SigningKey:
        """Make a key that a command may name; its private half is on disk when this returns.

        Nobody has to say what became of the command: `discard_unused` finds out.
        """
        private = Ed25519PrivateKey.generate()
        key = _public_of(private, prefix=self._prefix)
        await asyncio.to_thread(write_key, self._own_file(key.key_id), private)
        return key

    def require_private(self, key_id: str) -> None:
        """Check, in the writer, that a key which an event is about to name can sign.

        Raises:
            SigningKeyMissingError: its command waited for so long that the file was deleted.
        """
        if not self._own_file(key_id).is_file():
            raise SigningKeyMissingError(key_id)

    def discard_unused(self, undecided: Catalogue) -> None:
        """Delete old private halves that no event names. Only the writer may call this, between two commands.

        `undecided` has what the writer has not committed yet. Neither what is committed nor that may name a key whose
        file goes, because the group can still fail.
        """
        named = {key.key_id for key in (*self.public(), *self._keyring_in(undecided).keys)}
        for key_id in set(self._private) - named:
            self._private.pop(key_id, None)
        oldest_kept_s = self._clock.now_ms() / 1_000 - MIN_UNUSED_S
        for path in self._files():
            if path.stat().st_mtime > oldest_kept_s or _key_id_in(path) in named:
                continue
            path.unlink()
            _log.info("signing_key_discarded", workspace=self._workspace, file=path.name)

    def _keyring_in(self, catalogue: Catalogue) -> Keyring:
        known = catalogue.id_of(Kind.KEYRING, NAME, workspace=self._workspace)
        row = catalogue.get(Kind.KEYRING, known, workspace=self._workspace) if known else None
        if row is None:
            return Keyring()
        return as_of(msgspec.json.decode(row.body, type=Keyring), rfc3339(self._clock.now_ms()))

    def _files(self) -> Iterator[Path]:
        yield from self._secrets_dir.glob("inference-signing*.pem")
        # What a crash left of writing one.
        yield from self._secrets_dir.glob(".inference-signing*.pem.*")

    def _load_first(self) -> SigningKey:
        private = load_or_make_key(self._secrets_dir / _FIRST)
        key = _public_of(private)
        self._private[key.key_id] = private
        return key

    def _own_file(self, key_id: str) -> Path:
        return self._secrets_dir / f"inference-signing-{key_id}.pem"

    def _file_of(self, key_id: str) -> Path:
        own = self._own_file(key_id)
        first = self._secrets_dir / _FIRST
        return own if own.exists() or not first.exists() or _key_id_in(first) != key_id else first


class SigningKeyStore:
    """The signing keys of all workspaces.

    Those of the home workspace lie in the folder of secrets, those of each other one in a folder of its own. Their ids
    begin with the workspace's name, so that a gateway can tell whose key signed a token.
    """

    def __init__(self, secrets_dir: Path, catalogue: Callable[[], Catalogue], *, home: str, clock: Clock) -> None:
        self._secrets_dir = secrets_dir
        self._catalogue = catalogue
        self.home = home
        self._clock = clock
        self._known: dict[str, SigningKeys] = {}
        self.of(home)

    def of(self, workspace: str) -> SigningKeys:
        """Return the keys of a workspace; the name is one that exists, or is about to."""
        known = self._known.get(workspace)
        if known is None:
            is_home = workspace == self.home
            keys = SigningKeys(
                folder_of_workspace(self._secrets_dir, workspace, home=self.home),
                self._catalogue,
                workspace=workspace,
                clock=self._clock,
                prefix="" if is_home else f"{workspace}.",
                is_home=is_home,
            )
            known = self._known.setdefault(workspace, keys)
        return known

    def on_disk(self) -> Iterator[SigningKeys]:
        """Return the keys of every workspace that has a folder, though it may never have been created."""
        yield self.of(self.home)
        for folder in folders_of_workspaces(self._secrets_dir):
            yield self.of(folder.name)

    def public_of(self, workspace: str) -> SigningKeys | None:
        """Return the keys of a workspace that anyone may name, None where it has none."""
        is_there = workspace == self.home or self._catalogue().id_of(Kind.KEYRING, NAME, workspace=workspace)
        return self.of(workspace) if is_there else None


def _key_id_in(path: Path) -> str:
    return _public_of(load_key(path)).key_id if path.name == _FIRST else path.stem.removeprefix("inference-signing-")


def _public_of(private: Ed25519PrivateKey, *, prefix: str = "") -> SigningKey:
    raw = private.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    x = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
    key_id = prefix + hashlib.sha256(raw).hexdigest()[:16]
    return SigningKey(key_id=key_id, x=x, signs_from=_BEGINNING, valid_until=None)
