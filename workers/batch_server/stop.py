"""Stops a batch from sending more."""

import asyncio
import time


class Stop:
    """Stops a batch's requests for a reason; the first reason counts."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self.reason = ""
        self.at: float | None = None

    def set(self, reason: str) -> None:
        """Send nothing more."""
        if not self._event.is_set():
            self.reason, self.at = reason, time.monotonic()
            self._event.set()

    @property
    def is_set(self) -> bool:
        """Whether nothing more is to be sent."""
        return self._event.is_set()

    async def wait(self, seconds: float) -> bool:
        """Wait for the stop, with a timeout; return whether it came."""
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            return False
        return True
