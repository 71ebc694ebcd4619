# Generated from ../_async/changes.py by clients/sdk/generate.py; edit that one.
"""Waiting for a thing to change: its events are awaited, and it is looked at when one comes."""

import time

from rollbook import _wire
from rollbook._sync import operations


class Changes:
    """The changes of one thing from the first `wait` on."""

    def __init__(self, log: operations.Log) -> None:
        """Read through the client's connection."""
        self._log = log
        self._after: int | None = None

    def wait(self, thing_id: str, *, at_most_s: float) -> None:
        """Return once there is an event of the thing, or the time is over.

        The first time, it returns at once: look at the thing once more, and no later change is missed.
        """
        if self._after is None:
            self._after = (self._log.read(limit=1)).head
            return
        until = time.monotonic() + at_most_s
        feed = self._log.read(after=self._after, stream=thing_id, wait_ms=max(0, int(at_most_s * 1_000)))
        self._after = feed.read_until
        if not feed.items:
            # A control plane that is about to end lets no one wait.
            _wire.sleep(max(0.0, until - time.monotonic()))
