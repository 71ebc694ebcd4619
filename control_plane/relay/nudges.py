"""Wakes the relay when the store says that it has committed; a lost nudge costs one polling interval."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path


class Nudges(asyncio.DatagramProtocol):
    """Treats every datagram alike: look now."""

    def __init__(self) -> None:
        self._woken = asyncio.Event()

    def datagram_received(self, data: bytes, addr: object) -> None:  # noqa: ARG002  what it says does not matter
        self._woken.set()

    async def wait(self, *, at_most_seconds: float) -> None:
        """Return at the next nudge, at one since the last wait, or when the time is over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(at_most_seconds):
                await self._woken.wait()
        self._woken.clear()

    def wake(self) -> None:
        self._woken.set()


@asynccontextmanager
async def open_nudges(path: Path) -> AsyncIterator[Nudges]:
    """Listen on a Unix datagram socket, in place of one that an earlier process left."""
    _clear(path)
    loop = asyncio.get_running_loop()
    transport, nudges = await loop.create_datagram_endpoint(Nudges, local_addr=str(path), family=socket.AF_UNIX)
    try:
        yield nudges
    finally:
        transport.close()
        _clear(path)


def _clear(path: Path) -> None:
    path.unlink(missing_ok=True)
