"""The private halves of a workspace's signing keys, one file each; the keyring on the log says which of them counts."""

import asyncio
import base64
import hashlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import structlog
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from control_plane.inference_tokens.aggregate import NAME, as_of
from control_plane.inference_tokens.errors import SigningKeyMissingError
from control_plane.keys.errors import KeysUnavailableError
from control_plane.keys.secret_files import KEY_REMEDY, load_key, load_or_make_key, write_key
from control_plane.ports import Catalogue
from infra.clock import Clock
from infra.data_directory import folder_of_workspace, folders_of_workspaces
from infra.secret_files import SecretFileError
from schemas.documents.access import Keyring
from schemas.envelope import rfc3339
from schemas.events.access import SigningKey
from schemas.identifiers import Kind

_FIRST = "inference-signing.pem"
_DISCARDED = "discarded"
_NAME = re.compile(r"inference-signing(-([a-z0-9-]+\.)?[0-9a-f]{16})?\.pem")
_BEGINNING = rfc3339(0)
MIN_UNUSED_S = 10 * 60
"""How old the file of a private half is at least when it is put away: commands that may still name it wait for less."""

_log = structlog.get_logger(__name__)


class SigningKeys:
    """Keys of one workspace, whose ids begin with `prefix`.

    The home workspace has a key of the first start, which counts until a rotation; it alone has no event, and is made
    where it `may_be_made`.

    A private half is on disk before any event names it, and only the store's writer puts one away: what it does between
    two commands, no rotation can contradict. Safe from any thread.
    """

    def __init__(  # noqa: PLR0913  the surroundings of the keys; all but the folder and the catalogue by name
        self,
        secrets_dir: Path,
        catalogue: Callable[[], Catalogue],
        *,
        workspace: str,
        clock: Clock,
        prefix: str = "",
        is_home: bool = True,
        may_be_made: bool = True,
    ) -> None:
        self._secrets_dir = secrets_dir
        self._catalogue = catalogue
        self._workspace = workspace
        self._clock = clock
        self._prefix = prefix
        self._private: dict[str, Ed25519PrivateKey] = {}
        self._first = self._load_first(may_be_made=may_be_made) if is_home and not self.keyring().keys else None

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
            SigningKeyMissingError: its file is gone or unusable, or the workspace has no key.
        """
        key_id = next(reversed(self._begun()), None)
        if key_id is None:
            raise SigningKeyMissingError(f"{self._prefix}…")
        try:
            return key_id, self._private_of(key_id)
        except SecretFileError as error:
            raise SigningKeyMissingError(key_id) from error

    def require_usable(self, *, may_be_missing: bool) -> None:
        """Check the private halves of the key that signs now and of the one that signs next.

        Raises:
            SecretFileError: one is missing, unless it may be, or it is not the key that the log names.
        """
        ended = set(self._begun()[:-1])
        for key in self.public():
            if key.key_id not in ended and not (may_be_missing and not self._file_of(key.key_id).exists()):
                self._private_of(key.key_id)

    async def fresh(self) -> SigningKey:
        """Make a key that a command may name; its private half is on disk when this returns.

        Nobody has to say what became of the command: `discard_unused` finds out.

        Raises:
            KeysUnavailableError: it cannot be written.
        """
        private = Ed25519PrivateKey.generate()
        key = _public_of(private, prefix=self._prefix)
        try:
            await asyncio.to_thread(write_key, self._own_file(key.key_id), private)
        except OSError as error:
            raise KeysUnavailableError(
                f"the private half of a signing key cannot be written ({error.strerror})",
                remedy="check the disk space and permissions of the folder of secrets, then try again",
            ) from error
        return key

    def require_private(self, key_id: str) -> None:
        """Check, in the writer, that a key which an event is about to name can sign.

        Raises:
            SigningKeyMissingError: its command waited for so long that the file was deleted.
        """
        if not self._own_file(key_id).is_file():
            raise SigningKeyMissingError(key_id)

    def discard_unused(self, undecided: Catalogue) -> None:
        """Put away old private halves that no event names. Only the writer may call this, between two commands.

        They go to the folder `discarded`, where nothing reads them: whoever restored an older backup of the log by
        mistake has lost nothing.

        `undecided` has what the writer has not committed yet. Neither what is committed nor that may name a key whose
        file goes, because the group can still fail.
        """
        named = {key.key_id for key in (*self.public(), *self._keyring_in(undecided).keys)}
        for key_id in set(self._private) - named:
            self._private.pop(key_id, None)
        oldest_kept_s = self._clock.now_ms() / 1_000 - MIN_UNUSED_S
        for path in self._files():
            if path.stat().st_mtime > oldest_kept_s or _key_id_in(path) in {*named, None}:
                continue
            self._put_away(path)
            _log.info("signing_key_discarded", workspace=self._workspace, file=path.name)

    def _put_away(self, path: Path) -> None:
        if path.name.startswith("."):
            path.unlink()
            return
        discarded = self._secrets_dir / _DISCARDED
        discarded.mkdir(mode=0o700, exist_ok=True)
        path.replace(discarded / path.name)

    def _begun(self) -> list[str]:
        now = rfc3339(self._clock.now_ms())
        return [key.key_id for key in self.public() if key.signs_from <= now]

    def _private_of(self, key_id: str) -> Ed25519PrivateKey:
        private = self._private.get(key_id)
        if private is None:
            path = self._file_of(key_id)
            private = load_key(path)
            if _public_of(private, prefix=self._prefix).key_id != key_id:
                raise SecretFileError(path, "holds another key than the one of its name", remedy=KEY_REMEDY)
            self._private[key_id] = private
        return private

    def _keyring_in(self, catalogue: Catalogue) -> Keyring:
        known = catalogue.id_of(Kind.KEYRING, NAME, workspace=self._workspace)
        row = catalogue.get(Kind.KEYRING, known, workspace=self._workspace) if known else None
        if row is None:
            return Keyring()
        return as_of(msgspec.json.decode(row.body, type=Keyring), rfc3339(self._clock.now_ms()))

    def _files(self) -> Iterator[Path]:
        # And nothing that an operator has put there under a name of their own.
        yield from (path for path in self._secrets_dir.glob("inference-signing*.pem") if _NAME.fullmatch(path.name))
        # What a crash left of writing one.
        yield from self._secrets_dir.glob(".inference-signing*.pem.*")

    def _load_first(self, *, may_be_made: bool) -> SigningKey:
        private = load_or_make_key(self._secrets_dir / _FIRST, may_make=may_be_made)
        key = _public_of(private)
        self._private[key.key_id] = private
        return key

    def _own_file(self, key_id: str) -> Path:
        return self._secrets_dir / f"inference-signing-{key_id}.pem"

    def _file_of(self, key_id: str) -> Path:
        own = self._own_file(key_id)
        first = self._secrets_dir / _FIRST
        return first if not own.exists() and _key_id_in(first) == key_id else own


class SigningKeyStore:
    """The signing keys of all workspaces.

    Those of the home workspace lie in the folder of secrets, those of each other one in a folder of its own. Their ids
    begin with the workspace's name, so that a gateway can tell whose key signed a token.
    """

    def __init__(
        self,
        secrets_dir: Path,
        catalogue: Callable[[], Catalogue],
        *,
        home: str,
        clock: Clock,
        may_be_made: bool = True,
    ) -> None:
        self._secrets_dir = secrets_dir
        self._may_be_made = may_be_made
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
                may_be_made=self._may_be_made,
            )
            known = self._known.setdefault(workspace, keys)
        return known

    def require_usable(self, *, may_be_missing: bool) -> None:
        """Check the private halves that are still to sign, of every workspace.

        Raises:
            SecretFileError: one is missing, unless it may be, or it is not the key that the log names.
        """
        for workspace in sorted({row.workspace for row in self._catalogue().of_all_workspaces(Kind.KEYRING)}):
            self.of(workspace).require_usable(may_be_missing=may_be_missing)

    def on_disk(self) -> Iterator[SigningKeys]:
        """Return the keys of every workspace that has a folder, though it may never have been created."""
        yield self.of(self.home)
        for folder in folders_of_workspaces(self._secrets_dir):
            yield self.of(folder.name)

    def public_of(self, workspace: str) -> SigningKeys | None:
        """Return the keys of a workspace that anyone may name, None where it has none."""
        is_there = workspace == self.home or self._catalogue().id_of(Kind.KEYRING, NAME, workspace=workspace)
        return self.of(workspace) if is_there else None


def _key_id_in(path: Path) -> str | None:
    if path.name != _FIRST:
        return path.stem.removeprefix("inference-signing-")
    try:
        return _public_of(load_key(path)).key_id
    except SecretFileError:
        return None


def _public_of(private: Ed25519PrivateKey, *, prefix: str = "") -> SigningKey:
    raw = private.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    x = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
    key_id = prefix + hashlib.sha256(raw).hexdigest()[:16]
    return SigningKey(key_id=key_id, x=x, signs_from=_BEGINNING, valid_until=None)
