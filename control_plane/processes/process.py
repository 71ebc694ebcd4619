"""What follows from events by itself, as a feature declares it in its `process.py`."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from control_plane.ports import EventContext, UnitOfWork

Reaction = Callable[[UnitOfWork, Any, EventContext], None]
"""Takes a unit of work, an event and what stands around it, and appends what follows; it may append nothing."""


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """Reactions to events, carried out one after another in the order of the log.

    A reaction and the position of its event are stored in one transaction, so each event has its effect once. What
    a reaction raises is tried again until it succeeds; events after it wait, other processes go on. `name` is that of
    the stored position and of the actor, `process-NAME`: it never changes.
    """

    name: str
    when: Mapping[type[msgspec.Struct], Reaction]

    @property
    def actor(self) -> str:
        """Who has done what follows, as its events say."""
        return f"process-{self.name}"
