"""Signed checkpoints: a C2SP tlog-checkpoint in a C2SP signed note, with Ed25519.

    rollbook/registry.events.v1
    <tree size>
    <base64 of the root>

    — <key name> <base64 of 4-byte key id ‖ signature>

The text above the empty line, its last newline included, is what is signed.
"""

from base64 import b64decode, b64encode
from binascii import Error as NoBase64Error
from hashlib import sha256
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from control_plane.audit.errors import CheckpointError

ORIGIN = "rollbook/registry.events.v1"
"""First line of every checkpoint of the registry's log, and the name of the key that signs it."""

_ED25519 = b"\x01"
_KEY_ID_BYTES, _ROOT_BYTES = 4, 32


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """What a log claims to be: so many events, with this root."""

    origin: str
    size: int
    root: bytes


def sign(checkpoint: Checkpoint, key: Ed25519PrivateKey) -> str:
    """Return the signed note of a checkpoint."""
    text = f"{checkpoint.origin}\n{checkpoint.size}\n{b64encode(checkpoint.root).decode()}\n"
    blob = _key_id(checkpoint.origin, key.public_key()) + key.sign(text.encode())
    return f"{text}\n— {checkpoint.origin} {b64encode(blob).decode()}\n"


def verify(note: str, key: Ed25519PublicKey, *, origin: str = ORIGIN) -> Checkpoint:
    """Read a signed note and check that the key signed it for this origin.

    Raises:
        CheckpointError: one sentence says what is wrong with it.
    """
    text, separator, signatures = note.partition("\n\n")
    if not separator:
        raise CheckpointError("the checkpoint has no signature")
    checkpoint = _parse(text)
    if checkpoint.origin != origin:
        raise CheckpointError(f"the checkpoint is of {checkpoint.origin!r}, not of {origin!r}")
    signed = f"{text}\n".encode()
    if not any(_is_signed(signed, line, key, origin) for line in signatures.splitlines()):
        raise CheckpointError("no signature of the checkpoint is by the expected key")
    return checkpoint


def verifier_key(key: Ed25519PublicKey, *, origin: str = ORIGIN) -> str:
    """Return the public key as signed notes write it: name, key id in hex, base64 of type and key."""
    encoded = b64encode(_ED25519 + _raw(key)).decode()
    return f"{origin}+{_key_id(origin, key).hex()}+{encoded}"


def parse_verifier_key(text: str) -> tuple[str, Ed25519PublicKey]:
    """Read what `verifier_key` wrote, as the origin and its key.

    Raises:
        CheckpointError: the text is no such key.
    """
    parts = text.strip().split("+", 2)
    try:
        origin, key_id, encoded = parts
        raw = b64decode(encoded, validate=True)
        key = Ed25519PublicKey.from_public_bytes(raw[1:])
    except (ValueError, NoBase64Error) as error:
        raise CheckpointError("the public key is not of the form name+id+key") from error
    if raw[:1] != _ED25519 or _key_id(origin, key).hex() != key_id:
        raise CheckpointError("the public key does not fit its own id")
    return origin, key


def load_signing_key(path: Path) -> Ed25519PrivateKey:
    """Read the log's signing key.

    Raises:
        CheckpointError: there is none, or it is of another kind.
    """
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise CheckpointError(f"the signing key {path} cannot be read ({error})") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise CheckpointError(f"the signing key {path} is not an Ed25519 key")
    return key


def signing_key_pem(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _parse(text: str) -> Checkpoint:
    lines = text.split("\n")
    try:
        origin, size, root = lines[0], int(lines[1]), b64decode(lines[2], validate=True)
    except (IndexError, ValueError) as error:
        raise CheckpointError("the checkpoint does not consist of origin, size and root") from error
    if not origin or str(size) != lines[1] or size < 0 or len(root) != _ROOT_BYTES:
        raise CheckpointError("the checkpoint does not consist of origin, size and root")
    return Checkpoint(origin=origin, size=size, root=root)


def _is_signed(signed: bytes, line: str, key: Ed25519PublicKey, origin: str) -> bool:
    prefix = f"— {origin} "
    if not line.startswith(prefix):
        return False
    try:
        blob = b64decode(line.removeprefix(prefix), validate=True)
        if blob[:_KEY_ID_BYTES] != _key_id(origin, key):
            return False
        key.verify(blob[_KEY_ID_BYTES:], signed)
    except (NoBase64Error, InvalidSignature):
        return False
    return True


def _key_id(name: str, key: Ed25519PublicKey) -> bytes:
    return sha256(name.encode() + b"\n" + _ED25519 + _raw(key)).digest()[:_KEY_ID_BYTES]


def _raw(key: Ed25519PublicKey) -> bytes:
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)
