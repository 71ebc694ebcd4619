"""Finds the tensor that a client wrote with NaN or Infinity, which JSON lacks but Python's encoders produce."""

import json
import math
from typing import Any

_MAX_BYTES = 1024**2
"""Such a body needs a slower parser; a larger one is rejected as not JSON."""


def tensor_with_a_non_number(body: bytes) -> str | None:
    """Return the name of the first input that contains NaN or an infinity, or None if the fault is a different one."""
    if len(body) > _MAX_BYTES or not (b"NaN" in body or b"Infinity" in body):
        return None
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    inputs = document.get("inputs") if isinstance(document, dict) else None
    for sent in inputs if isinstance(inputs, list) else ():
        if isinstance(sent, dict) and isinstance(sent.get("name"), str) and _has_non_number(sent.get("data")):
            return str(sent["name"])
    return None


def _has_non_number(data: Any) -> bool:  # noqa: ANN401 - whatever JSON holds
    open_ended = [data]
    while open_ended:
        value = open_ended.pop()
        if isinstance(value, list):
            open_ended += value
        elif isinstance(value, float) and not math.isfinite(value):
            return True
    return False
