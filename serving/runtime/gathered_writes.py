"""Sends what a server writes in one turn of the event loop in one piece.

A server writes the head of an answer and then its body. A process that is killed in between has started an answer that
nobody else can restart. In one piece, the gateway gets either the answer or nothing, and can ask another instance.
"""

import asyncio
from collections.abc import Iterable

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# More than this is sent in several pieces anyway, and not worth a copy.
_ONE_PIECE_BYTES = 256 * 1024


class GatheringProtocol(HttpToolsProtocol):
    """HTTP/1.1 as uvicorn speaks it, with the head and the body of an answer in one piece."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Answer through a gathering transport."""
        super().connection_made(GatheredWrites(transport))


class GatheredWrites(asyncio.Transport):
    """Wraps a transport, which gets everything written in a turn of the loop at the end of that turn."""

    def __init__(self, behind: asyncio.Transport) -> None:
        """Wrap a transport of the running event loop."""
        super().__init__()
        self._behind = behind
        self._loop = asyncio.get_running_loop()
        self._pieces: list[bytes] = []
        self._size = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Take bytes to send before the loop waits again."""
        if not self._pieces:
            self._loop.call_soon(self._flush)
        self._pieces.append(bytes(data))
        self._size += len(data)
        # A writer of large amounts in one turn has to learn soon that the other side is slow.
        if self._size > _ONE_PIECE_BYTES:
            self._flush()

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        """Take several pieces of bytes, as `write` does."""
        self.write(b"".join(list_of_data))

    def close(self) -> None:
        """Send what is pending, and close."""
        self._flush()
        self._behind.close()

    def abort(self) -> None:
        """Close immediately; what is pending is lost."""
        self._pieces, self._size = [], 0
        self._behind.abort()

    def is_closing(self) -> bool:
        """Whether the wrapped transport is closed or closing."""
        return self._behind.is_closing()

    def can_write_eof(self) -> bool:
        """Whether the wrapped transport supports it."""
        return self._behind.can_write_eof()

    def write_eof(self) -> None:
        """Send what is pending, and close the writing side."""
        self._flush()
        self._behind.write_eof()

    def get_write_buffer_size(self) -> int:
        """Return how many bytes are not sent yet."""
        return self._size + self._behind.get_write_buffer_size()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Return the wrapped transport's low and high limits, in bytes."""
        return self._behind.get_write_buffer_limits()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set the wrapped transport's limits, in bytes."""
        self._behind.set_write_buffer_limits(high, low)

    def is_reading(self) -> bool:
        """Whether the wrapped transport is being read."""
        return self._behind.is_reading()

    def pause_reading(self) -> None:
        """Pause reading from the wrapped transport."""
        self._behind.pause_reading()

    def resume_reading(self) -> None:
        """Resume reading from the wrapped transport."""
        self._behind.resume_reading()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Pass what arrives from now on to another protocol."""
        self._behind.set_protocol(protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return the protocol that gets what arrives."""
        return self._behind.get_protocol()

    def get_extra_info(self, name: str, default: object = None) -> object:
        """Return what the wrapped transport knows about its socket."""
        return self._behind.get_extra_info(name, default)

    def _flush(self) -> None:
        pieces, size = self._pieces, self._size
        self._pieces, self._size = [], 0
        if self._behind.is_closing():
            # The connection ended in the same turn.
            return
        if len(pieces) > 1 and size <= _ONE_PIECE_BYTES:
            pieces = [b"".join(pieces)]
        for piece in pieces:
            self._behind.write(piece)
