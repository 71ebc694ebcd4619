"""Shares a fixed number of places among principals: each has a bounded share, and those who wait take turns.

Knows nothing of statements or time. All calls belong to one event loop.
"""

import asyncio
from collections import Counter, deque
from typing import TypeAlias

_Waiting: TypeAlias = "deque[asyncio.Future[None]]"


class FairTurns:
    """Gives places out: at most `at_once`, and at most `at_once_each` of them to one principal.

    A place that comes free goes to the next principal in turn, who then goes to the end of the turns. So does one whose
    statement has just ended. A principal waits for at most one more of each other principal, however many those have.
    """

    def __init__(self, *, at_once: int, at_once_each: int) -> None:
        self.at_once = at_once
        self.at_once_each = at_once_each
        self._running: Counter[str] = Counter()
        # In the order of turns; a principal is here only while it waits.
        self._waiting: dict[str, _Waiting] = {}

    @property
    def running(self) -> int:
        return self._running.total()

    @property
    def waiting(self) -> int:
        return sum(map(len, self._waiting.values()))

    def running_of(self, principal: str) -> int:
        return self._running[principal]

    def waiting_of(self, principal: str) -> int:
        return len(self._waiting.get(principal, ()))

    def must_wait(self, principal: str) -> bool:
        """Return whether no place is free for this principal now."""
        # No one who could be served waits, or a place would have been given to them: no one is overtaken.
        return self.running >= self.at_once or self._running[principal] >= self.at_once_each

    async def acquire(self, principal: str) -> None:
        """Take a place, after waiting for one. A wait that is cancelled leaves nothing behind."""
        if not self.must_wait(principal):
            self._running[principal] += 1
            return
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(principal, deque()).append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.cancelled():
                self._forget(principal, place)
            else:
                self.release(principal)
            raise

    def release(self, principal: str) -> None:
        """Give a place back; whoever is next gets it."""
        self._running[principal] -= 1
        if not self._running[principal]:
            del self._running[principal]
        self._move_to_end(principal)
        self._give_out()

    def _give_out(self) -> None:
        while self.running < self.at_once:
            principal = next((each for each in self._waiting if self._running[each] < self.at_once_each), None)
            if principal is None:
                return
            place = self._waiting[principal].popleft()
            self._move_to_end(principal)
            # A wait that was just cancelled is in the turns until its task has run.
            if not place.done():
                self._running[principal] += 1
                place.set_result(None)

    def _move_to_end(self, principal: str) -> None:
        waiting = self._waiting.pop(principal, None)
        if waiting:
            self._waiting[principal] = waiting

    def _forget(self, principal: str, place: "asyncio.Future[None]") -> None:
        waiting = self._waiting.get(principal, deque())
        if place in waiting:
            waiting.remove(place)
        if not waiting:
            self._waiting.pop(principal, None)
