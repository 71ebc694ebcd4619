"""The places of requests in progress at the gateway: an equal share for each batch, and none for one that waits."""

import asyncio
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager

from workers.batch_server.stop import Stop

# Bodies of waiting requests stay in memory. Above this limit they keep their places, and no others start.
_WAITING_BYTES = 64 * 1024 * 1024
_POLL_S = 0.2


class Places:
    """The places that all batches share. Used from one event loop."""

    def __init__(self, number: int, *, waiting_bytes: int = _WAITING_BYTES) -> None:
        """Limit the requests in progress together, and the memory that the bodies of waiting ones may take."""
        self._number = number
        self._free = asyncio.Semaphore(number)
        self._shares = 0
        self._left_to_wait = waiting_bytes

    @contextmanager
    def share(self) -> Iterator["Share"]:
        """Take part for as long as a batch has something to send."""
        self._shares += 1
        try:
            yield Share(self)
        finally:
            self._shares -= 1

    @property
    def max_per_batch(self) -> int:
        """How many requests of one batch may be in progress, including waiting ones."""
        return max(1, self._number // max(1, self._shares))

    async def take(self, stop: Stop) -> bool:
        """Wait for a free place; return False when nothing more is to be sent."""
        while not stop.is_set:
            if await _within(_POLL_S, self._free.acquire()):
                return True
        return False

    def give_back(self) -> None:
        """Give the place to another request."""
        self._free.release()

    @contextmanager
    def waiting(self, size: int) -> Iterator[bool]:
        """Count a body as waiting; return False if there are too many bytes already."""
        fits = size <= self._left_to_wait
        taken = size if fits else 0
        self._left_to_wait -= taken
        try:
            yield fits
        finally:
            self._left_to_wait += taken


class Share:
    """One batch's share."""

    def __init__(self, places: Places) -> None:
        """Start with nothing in progress."""
        self._places = places
        self._in_hand = 0
        self._one_ended = asyncio.Event()

    async def place(self, stop: Stop) -> "Place | None":
        """Wait until this batch may send one more request; None when nothing more is to be sent."""
        while self._in_hand >= self._places.max_per_batch:
            if stop.is_set:
                return None
            self._one_ended.clear()
            # Other batches come and go meanwhile, which changes the share of each.
            await _within(_POLL_S, self._one_ended.wait())
        if not await self._places.take(stop):
            return None
        self._in_hand += 1
        return Place(self._places, self)

    def ended(self) -> None:
        """Count one request less in progress."""
        self._in_hand -= 1
        self._one_ended.set()


class Place:
    """The place of one request, given to others while the request waits to be retried."""

    def __init__(self, places: Places, share: Share) -> None:
        """Hold a place that was taken."""
        self._places = places
        self._share = share
        self._is_held = True

    async def wait(self, seconds: float, stop: Stop, *, size: int) -> None:
        """Wait, then take a place again; or return immediately when nothing more is to be sent.

        `size` is the memory of the request's body, in bytes.
        """
        with self._places.waiting(size) as gives_way:
            if gives_way:
                self._give_back()
            await stop.wait(seconds)
        if gives_way:
            self._is_held = await self._places.take(stop)

    def leave(self) -> None:
        """Give up the place."""
        self._give_back()
        self._share.ended()

    def _give_back(self) -> None:
        if self._is_held:
            self._is_held = False
            self._places.give_back()


async def _within(seconds: float, event: Awaitable[object]) -> bool:
    """Wait for something with a timeout; return whether it came."""
    try:
        async with asyncio.timeout(seconds):
            await event
    except TimeoutError:
        return False
    return True
