"""Secrets on disk: files of mode 0600, written in one step, and the Ed25519 keys in them."""

from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from infra.data_directory import write_atomically
from infra.secret_files import SecretFileError, read_secret

KEY_REMEDY = (
    "put it back from a backup; if it is lost, move what is there away and start once with "
    "ROLLBOOK_API_ACCEPT_LOST_KEYS=true"
)


def load_or_make_key(path: Path, *, may_make: bool) -> Ed25519PrivateKey:
    """Return the key in a PEM file, made where there is none and it may be made.

    Raises:
        SecretFileError: it cannot be used, or there is none.
    """
    if may_make and not path.exists():
        write_key(path, Ed25519PrivateKey.generate())
    return load_key(path)


def write_key(path: Path, key: Ed25519PrivateKey) -> None:
    """Write a key as PEM, readable by its owner alone."""
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    write_secret(path, pem)


def load_key(path: Path) -> Ed25519PrivateKey:
    """Read a key.

    Raises:
        SecretFileError: there is none, it cannot be read, or it is of another kind.
    """
    try:
        key = serialization.load_pem_private_key(read_secret(path, remedy=KEY_REMEDY), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise SecretFileError(path, "does not hold a private key as PEM", remedy=KEY_REMEDY) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise SecretFileError(path, "holds a key that is not an Ed25519 key", remedy=KEY_REMEDY)
    return key


def write_secret(path: Path, content: bytes) -> None:
    """Write a file of mode 0600 in one step."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_atomically(path, content)
