"""Seals personal values under their subject's key, so that shredding the key erases them everywhere at once."""

from base64 import b64decode, b64encode
from secrets import token_bytes

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from control_plane.keys.errors import KeyDoesNotFitError
from control_plane.keys.key_file import KeyStore, SubjectKey, fresh_key
from schemas.envelope import Sealed

_NONCE_BYTES = 12


def seal(value: str, *, key: SubjectKey, event_id: str) -> Sealed:
    """Encrypt a value so that it opens only under this key and for this event."""
    return Sealed(key_id=key.key_id, ciphertext=b64encode(encrypt(value.encode(), key=key, bound_to=event_id)).decode())


def open_sealed(sealed: Sealed, *, key: SubjectKey | None, event_id: str) -> str | None:
    """Decrypt a value; None without its key.

    Raises:
        KeyDoesNotFitError: the value or the key was altered, or the value belongs to another event.
    """
    if key is None:
        return None
    return decrypt(b64decode(sealed.ciphertext, validate=True), key=key, bound_to=event_id).decode()


def encrypt(plain: bytes, *, key: SubjectKey, bound_to: str) -> bytes:
    nonce = token_bytes(_NONCE_BYTES)
    return nonce + AESGCM(key.secret).encrypt(nonce, plain, bound_to.encode())


def decrypt(sealed: bytes, *, key: SubjectKey, bound_to: str) -> bytes:
    nonce, ciphertext = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
    if len(nonce) != _NONCE_BYTES:
        raise KeyDoesNotFitError
    try:
        return AESGCM(key.secret).decrypt(nonce, ciphertext, bound_to.encode())
    except InvalidTag as error:
        raise KeyDoesNotFitError from error


class StagedKeys:
    """The keys as a group of commands sees them before it is committed: new ones added, shredded ones gone.

    `base` is what is durable, or the view of the group around a command. Nothing reaches the file from here.
    """

    def __init__(self, base: "KeyStore | StagedKeys") -> None:
        self._base = base
        self.added: dict[str, SubjectKey] = {}
        self.shredded: set[str] = set()

    def key(self, key_id: str) -> SubjectKey | None:
        if key_id in self.shredded:
            return None
        return self.added.get(key_id) or self._base.key(key_id)

    def keys_of(self, subject: str) -> tuple[SubjectKey, ...]:
        added = (key for key in self.added.values() if key.subject == subject)
        return (*(key for key in self._base.keys_of(subject) if key.key_id not in self.shredded), *added)

    def key_for(self, subject: str) -> SubjectKey:
        """Return the key to seal with, making it at first use."""
        existing = self.keys_of(subject)
        if existing:
            return existing[-1]
        key = fresh_key(subject)
        self.added[key.key_id] = key
        return key

    def shred(self, subject: str) -> None:
        for key in self.keys_of(subject):
            self.added.pop(key.key_id, None)
            self.shredded.add(key.key_id)

    def take(self, inner: "StagedKeys") -> None:
        """Make the changes of a command that succeeded those of its group."""
        self.added.update(inner.added)
        for key_id in inner.shredded:
            self.added.pop(key_id, None)
        self.shredded |= inner.shredded
