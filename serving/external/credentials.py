"""The credential of an external engine: a file on this host that never reaches an event, a log or a caller."""

import re
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from infra.errors import CannotStartError

_OTHERS = 0o077
_HEADER = re.compile(r"[A-Za-z0-9-]{1,64}")
_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")


class Credential(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A header for one origin, named here beside the secret, so that no description can have it sent elsewhere."""

    origin: str
    value: str
    header: str = "authorization"

    def __repr__(self) -> str:
        return f"Credential(origin={self.origin!r})"


def read_credential(folder: Path, name: str, *, url: str) -> Credential:
    """Read the credential for a URL.

    Raises:
        CannotStartError: there is none of this name, others can read it, or it is for another server.
    """
    path = folder / name
    try:
        if path.stat().st_mode & _OTHERS:
            raise CannotStartError(f"others can read the credential {path}; restrict it: chmod 600 {path}")
        credential = msgspec.json.decode(path.read_bytes(), type=Credential)
    except OSError as error:
        raise CannotStartError(
            f"the credential {name!r} cannot be read ({error.strerror}); "
            f'write {{"origin": "https://HOST", "value": "Bearer …"}} to {path}, readable by this user alone'
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        # Its content stays out of the message.
        raise CannotStartError(
            f"{path} is not a credential: an object with origin, value and optionally header"
        ) from error
    _check(credential, path=path, url=url)
    return credential


def origin_of(url: str) -> str:
    """Return scheme, host and port in a normalised spelling."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return f"{parts.scheme}://{(parts.hostname or '').lower()}:{port}"


def _check(credential: Credential, *, path: Path, url: str) -> None:
    if origin_of(credential.origin) != origin_of(url):
        raise CannotStartError(f"the credential {path} is for {credential.origin}, not for {origin_of(url)}")
    if not _HEADER.fullmatch(credential.header) or not _VALUE.fullmatch(credential.value):
        raise CannotStartError(f"{path} does not hold a valid HTTP header")
