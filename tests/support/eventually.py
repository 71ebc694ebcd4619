"""Waiting for what comes by itself: look again until it is so, or fail with what was waited for."""

import time
from collections.abc import Callable
from typing import TypeVar

Seen = TypeVar("Seen")

_POLL_S = 0.05


def eventually(look: Callable[[], Seen], what: str, *, within_s: float, poll_s: float = _POLL_S) -> Seen:
    """Return the first true thing that `look` sees."""
    deadline = time.monotonic() + within_s
    while not (seen := look()):
        assert time.monotonic() < deadline, f"not within {within_s:g} s: {what}"
        time.sleep(poll_s)
    return seen
