"""How the content of a file is named: `sha256:<64 hex>`."""

import re

from control_plane.artifacts.errors import MalformedDigestError

_DIGEST = re.compile(r"sha256:(?P<hex>[0-9a-f]{64})")


def hex_of(digest: str) -> str:
    """Return the hex digits of a digest.

    Raises:
        MalformedDigestError: the text has another form.
    """
    match = _DIGEST.fullmatch(digest)
    if match is None:
        raise MalformedDigestError(digest)
    return match["hex"]
