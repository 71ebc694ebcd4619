"""The secret keys that digests of captured values are made with: one for each workspace, from one secret of the stack.

Whoever knows the key of a workspace can test guesses on its digests, but learns nothing about those of another.
"""

import hashlib
import hmac
import re
import secrets
from pathlib import Path

from infra.data_directory import write_once
from infra.secret_files import SecretFileError, read_secret_text

_SECRET = re.compile(r"[0-9a-f]{64}")
_REMEDY = (
    "put it back from a backup, or delete it: the next start makes another one, and digests no longer compare with "
    "earlier ones"
)


class DigestKeys:
    """Derives the keys; agents with the same secret make the same ones."""

    def __init__(self, secret: str) -> None:
        self._secret = bytes.fromhex(secret)

    def of(self, workspace: str) -> str:
        """Return the key of a workspace, in hex."""
        return hmac.new(self._secret, f"captured values of {workspace}".encode(), hashlib.sha256).hexdigest()


def open_digest_keys(path: Path) -> DigestKeys:
    """Read the secret, made at the first start of an agent on this data directory.

    Raises:
        SecretFileError: it cannot be written, or its file holds something else.
    """
    try:
        if not path.exists():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_once(path, secrets.token_hex(32).encode())
    except OSError as error:
        raise SecretFileError(path, f"cannot be written ({error.strerror})", remedy=_REMEDY) from error
    return DigestKeys(read_secret_text(path, _SECRET, what="64 hexadecimal digits", remedy=_REMEDY))
