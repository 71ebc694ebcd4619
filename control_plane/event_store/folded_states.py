"""Folded states kept between commands, so that a command on a known stream reads nothing.

A state is remembered for its group only when its command succeeded, and for good only when the group is committed;
so what was rolled back leaves no trace here.
"""

from collections import OrderedDict
from typing import Any

import msgspec

from control_plane.ports import Aggregate


class FoldedState(msgspec.Struct, frozen=True):
    """A stream folded by one aggregate up to a version."""

    aggregate: Aggregate[Any]
    workspace: str
    state: Any
    version: int


class FoldedStates:
    """The most recently used committed states, up to a number."""

    def __init__(self, *, capacity: int) -> None:
        self._capacity = capacity
        self._states: OrderedDict[str, FoldedState] = OrderedDict()

    def get(self, stream: str) -> FoldedState | None:
        found = self._states.get(stream)
        if found is not None:
            self._states.move_to_end(stream)
        return found

    def commit(self, changes: dict[str, FoldedState]) -> None:
        for stream, state in changes.items():
            self._states[stream] = state
            self._states.move_to_end(stream)
        while len(self._states) > self._capacity:
            self._states.popitem(last=False)

    def forget(self, stream: str) -> None:
        self._states.pop(stream, None)
