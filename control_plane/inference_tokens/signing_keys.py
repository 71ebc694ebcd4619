"""The private halves of a workspace's signing keys, one file each; the keyring on the log says which of them counts."""

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from threading import Lock

import msgspec
import structlog
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from control_plane.errors import RollbookError, Unavailable
from control_plane.inference_tokens.aggregate import NAME, as_of
from control_plane.inference_tokens.errors import SigningKeyMissingError
from control_plane.keys.secret_files import load_key, load_or_make_key, write_key
from control_plane.ports import Catalogue
from infra.clock import Clock
from infra.data_directory import folder_of_workspace
from schemas.documents.access import Keyring
from schemas.envelope import rfc3339
from schemas.events.access import SigningKey
from schemas.identifiers import Kind

_FIRST = "inference-signing.pem"
_BEGINNING = rfc3339(0)

_log = structlog.get_logger(__name__)


class SigningKeys:
    """Keys of one workspace, whose ids begin with `prefix`.

    The home workspace has a key of the first start, which counts until a rotation; it alone has no event.

    Safe from any thread; only one at a time writes and deletes files.
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
        self._undecided: set[str] = set()
        self._files = Lock()
        self._first = self._load_first() if is_home and not self.keyring().keys else None

    @property
    def first(self) -> SigningKey | None:
        """Return the key of the first start while no rotation has replaced it."""
        return self._first

    def keyring(self) -> Keyring:
        """Return what counts now."""
        catalogue = self._catalogue()
        known = catalogue.id_of(Kind.KEYRING, NAME, workspace=self._workspace)
        row = catalogue.get(Kind.KEYRING, known, workspace=self._workspace) if known else None
        if row is None:
            return Keyring()
        return as_of(msgspec.json.decode(row.body, type=Keyring), rfc3339(self._clock.now_ms()))

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

    @asynccontextmanager
    async def fresh(self) -> AsyncIterator[SigningKey]:
        """Make a key for a command, its private half on disk before any event names it.

        Afterwards the private halves that no event names any more are deleted. While the command's fate is unknown,
        because its caller went away or the disk failed, the key stays: the event may be committed yet. Threads do
        all work on files.
        """
        private = Ed25519PrivateKey.generate()
        key = _public_of(private, prefix=self._prefix)
        await asyncio.to_thread(self._keep, key.key_id, private)
        try:
            yield key
        except Unavailable:
            raise
        except RollbookError:
            await asyncio.to_thread(self._give_up, key.key_id)
            raise
        await asyncio.to_thread(self._settle, key.key_id)

    def _keep(self, key_id: str, private: Ed25519PrivateKey) -> None:
        with self._files:
            self._undecided.add(key_id)
            self._secrets_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_key(self._file_of(key_id), private)

    def _give_up(self, key_id: str) -> None:
        with self._files:
            self._undecided.discard(key_id)
            self._file_of(key_id).unlink(missing_ok=True)

    def _settle(self, key_id: str) -> None:
        # A key stays undecided until whoever has the files knows an event that names it.
        with self._files:
            self._undecided.discard(key_id)
            self._discard_unused()

    def _discard_unused(self) -> None:
        try:
            named = {key.key_id for key in self.keyring().keys}
            self._undecided -= named
            self._private = {key_id: key for key_id, key in self._private.items() if key_id in named}
            for path in self._secrets_dir.glob("inference-signing*.pem"):
                key_id = _key_id_in(path)
                if key_id not in named | self._undecided:
                    path.unlink(missing_ok=True)
                    _log.info("signing_key_discarded", key_id=key_id)
        except (RollbookError, OSError, ValueError, TypeError) as error:
            # The rotation is committed, and its caller must hear so; the next one tries again.
            _log.warning("signing_keys_not_discarded", reason=str(error))

    def _load_first(self) -> SigningKey:
        private = load_or_make_key(self._secrets_dir / _FIRST)
        key = _public_of(private)
        self._private[key.key_id] = private
        return key

    def _file_of(self, key_id: str) -> Path:
        own = self._secrets_dir / f"inference-signing-{key_id}.pem"
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
