"""Notifies waiters that the log has grown: long polls of this process, and the relay beside it."""

import asyncio
import socket
from contextlib import suppress
from pathlib import Path

_NUDGE = b"\n"
_NUDGE_EVERY_S = 0.005


class Commits:
    """Woken after each group commit, in the event loop's thread."""

    def __init__(self, nudge_socket: Path | None) -> None:
        """Nudge the relay at a datagram socket, where there is one."""
        self.is_closing = False
        self._head = 0
        self._grown = asyncio.Event()
        self._nudge_socket = nudge_socket
        self._sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sender.settimeout(0)
        self._pause: asyncio.TimerHandle | None = None
        self._is_due = False

    def committed(self, head: int) -> None:
        """Take the log's new head. A relay that is away polls by itself later."""
        self._head = head
        self._grown.set()
        self._grown = asyncio.Event()
        if self._nudge_socket is not None:
            self._nudge(self._nudge_socket)

    async def wait_after(self, position: int, *, timeout_s: float) -> bool:
        """Wait until the log goes beyond a position; False when it did not within the time, or the API is closing."""
        grown = self._grown
        if self._head > position or self.is_closing:
            return not self.is_closing
        try:
            await asyncio.wait_for(grown.wait(), timeout=timeout_s)
        except TimeoutError:
            return False
        return not self.is_closing

    def drain(self) -> None:
        """Release all waiters, and let no one wait any more."""
        self.is_closing = True
        self._grown.set()

    def _nudge(self, relay: Path) -> None:
        """Send a nudge, and for what is committed shortly after it another one together."""
        self._is_due = self._pause is not None
        if self._is_due:
            return
        self._pause = asyncio.get_running_loop().call_later(_NUDGE_EVERY_S, self._go_on, relay)
        with suppress(OSError):
            self._sender.sendto(_NUDGE, str(relay))

    def _go_on(self, relay: Path) -> None:
        self._pause = None
        if self._is_due:
            self._nudge(relay)

    def close(self) -> None:
        """Close the socket."""
        if self._pause is not None:
            self._pause.cancel()
        self._sender.close()
