"""JSON as it comes from strangers, and as it goes into the spool."""

import json
from typing import Any


def read_object(content: bytes) -> dict[str, Any]:
    """Read an object; whatever else it is counts as an empty one."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def written(value: object) -> str:
    """Write JSON as it is stored, without a lone surrogate, which JSON may spell and UTF-8 may not."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "replace").decode()
