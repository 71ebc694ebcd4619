"""Changes a part of an endpoint, as it was read."""

from collections.abc import Callable
from typing import TypeVar

from rollbook import Conflict, Rollbook
from rollbook.resources import Endpoint

Changed = TypeVar("Changed")

_MAX_ATTEMPTS = 10
_STALE = "stale-version"


def read_and_change(rollbook: Rollbook, name: str, change: Callable[[Endpoint], Changed]) -> Changed:
    """Read an endpoint and change it; where another event came in between, read it again and change what it is now.

    Whatever serves an endpoint adds events to it, above all while it is young; that is no reason to fail.

    Raises:
        Problem: the change is refused, or an event came in between at each of many attempts.
    """
    for _ in range(_MAX_ATTEMPTS - 1):
        try:
            return change(rollbook.endpoints.get(name))
        except Conflict as conflict:
            if conflict.code != _STALE:
                raise
    return change(rollbook.endpoints.get(name))
