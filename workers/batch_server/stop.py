"""When a batch asks nothing more."""

import asyncio
import time


class Stop:
    """Ends the asking of a batch, for a reason; the first one counts."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self.reason = ""
        self.at: float | None = None

    def set(self, reason: str) -> None:
        """Ask nothing more."""
        if not self._event.is_set():
            self.reason, self.at = reason, time.monotonic()
            self._event.set()

    @property
    def is_set(self) -> bool:
        """Whether nothing more is to be asked."""
        return self._event.is_set()

    async def wait(self, seconds: float) -> bool:
        """Wait for the end, or so long; return whether it came."""
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            return False
        return True
