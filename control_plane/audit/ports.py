"""What a restore needs of the store that it writes."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from control_plane.log.ports import LoggedEvent, LogReader


class UnfinishedStore(Protocol):
    """A store that is not in its place before all of it is written and checked."""

    def append(self, events: Sequence[LoggedEvent]) -> None:
        """Write events as they are, at the positions that they have."""

    def written(self) -> AbstractContextManager[LogReader]:
        """Read back what was written; nothing is appended after that."""
