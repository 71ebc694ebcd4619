"""Where the statements of people run: beside the views that the judge and others wait for, and few at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from projections.errors import QueriesBusy
from projections.store import ClickHouseStore


class QueryLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How many statements of people run at once, how long each, and how many may wait how long for their turn."""

    at_once: int = 2
    seconds: int = 10
    waiting: int = 32
    wait_seconds: float = 10.0


class QueryLane:
    """Takes statements in turn to a store that only people's statements use."""

    def __init__(self, store: ClickHouseStore, limits: QueryLimits) -> None:
        self.store = store
        self.limits = limits
        self._places = asyncio.Semaphore(limits.at_once)
        self._waiting = 0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[ClickHouseStore]:
        """Wait for a place among the statements that run.

        Raises:
            QueriesBusy: too many wait already, or no place came free in time.
        """
        if self._waiting >= self.limits.waiting:
            raise QueriesBusy(self.limits.at_once)
        self._waiting += 1
        try:
            async with asyncio.timeout(self.limits.wait_seconds):
                await self._places.acquire()
        except TimeoutError:
            raise QueriesBusy(self.limits.at_once) from None
        finally:
            self._waiting -= 1
        try:
            yield self.store
        finally:
            self._places.release()

    async def close(self) -> None:
        """Wait for what is running and close the connections."""
        await self.store.close()
