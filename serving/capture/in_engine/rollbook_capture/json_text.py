"""JSON as callers and servers send it, and as it is written to the spool."""

import json
from typing import Any


def read_object(content: bytes) -> dict[str, Any]:
    """Read an object; anything else counts as an empty one."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def written(value: object) -> str:
    """Write JSON for storage, without lone surrogates, which JSON can escape but UTF-8 cannot encode."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "replace").decode()
