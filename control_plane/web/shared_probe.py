"""A look at something that costs more than the question: run once for all who ask, and kept for a moment."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from infra.clock import Clock

T = TypeVar("T")


class SharedProbe(Generic[T]):
    """Runs a probe when someone asks and the last outcome is older than `max_age_s`.

    Whoever asks while it runs waits for the same outcome, and one who goes away does not end it for the others. Use it
    from one event loop.
    """

    def __init__(self, probe: Callable[[], Awaitable[T]], *, max_age_s: float, clock: Clock) -> None:
        self._probe = probe
        self._max_age_s = max_age_s
        self._clock = clock
        self._running: asyncio.Task[T] | None = None
        self._old_at = 0.0

    async def outcome(self) -> T:
        """Return what the probe returned or raised, at most `max_age_s` ago."""
        running = self._running
        if running is None or (running.done() and self._clock.monotonic() >= self._old_at):
            running = self._running = asyncio.create_task(self._run())
        return await asyncio.shield(running)

    async def _run(self) -> T:
        try:
            return await self._probe()
        finally:
            self._old_at = self._clock.monotonic() + self._max_age_s
