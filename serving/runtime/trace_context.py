"""The W3C trace context of a request: the gateway passes it on unchanged, and failures are logged with its id."""

import re
from collections.abc import Mapping

_TRACEPARENT = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")


def trace_id_of(headers: Mapping[bytes, bytes]) -> str | None:
    """Return the trace that a request belongs to; a malformed header is ignored."""
    found = _TRACEPARENT.fullmatch(headers.get(b"traceparent", b""))
    return found[1].decode() if found else None
