"""Notifies waiters that the log has grown: long polls of this process, and the relay beside it."""

import asyncio
import socket
from pathlib import Path

_NUDGE = b"\n"


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

    def committed(self, head: int) -> None:
        """Take the log's new head; a relay that is away polls by itself later."""
        self._head = head
        self._grown.set()
        self._grown = asyncio.Event()
        if self._nudge_socket is not None:
            try:
                self._sender.sendto(_NUDGE, str(self._nudge_socket))
            except OSError:
                return

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

    def close(self) -> None:
        """Close the socket."""
        self._sender.close()
