"""What a server writes in one turn of the event loop leaves in one piece.

A server writes the head of an answer and then its body. A process that is killed between the two has begun an answer
that no one else may begin again; in one piece, the gateway has either the answer or nothing, and asks another instance.
"""

import asyncio
from collections.abc import Iterable

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# More than this leaves in several pieces anyway, and is not worth a copy.
_ONE_PIECE_BYTES = 256 * 1024


class GatheringProtocol(HttpToolsProtocol):
    """HTTP/1.1 as uvicorn speaks it, with the head and the body of an answer in one piece."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Answer through a transport that gathers."""
        super().connection_made(GatheredWrites(transport))


class GatheredWrites(asyncio.Transport):
    """A transport before another one, which gets what was written in a turn of the loop at the turn's end."""

    def __init__(self, behind: asyncio.Transport) -> None:
        """Stand before a transport of the running event loop."""
        super().__init__()
        self._behind = behind
        self._loop = asyncio.get_running_loop()
        self._pieces: list[bytes] = []
        self._size = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Take bytes, to be sent before the loop waits again."""
        if not self._pieces:
            self._loop.call_soon(self._flush)
        self._pieces.append(bytes(data))
        self._size += len(data)
        # Whoever writes much in one turn must hear soon that the other side is slow.
        if self._size > _ONE_PIECE_BYTES:
            self._flush()

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        """Take bytes in pieces, as `write` does."""
        self.write(b"".join(list_of_data))

    def close(self) -> None:
        """Send what was taken, and close."""
        self._flush()
        self._behind.close()

    def abort(self) -> None:
        """Close at once; what was taken is lost."""
        self._pieces, self._size = [], 0
        self._behind.abort()

    def is_closing(self) -> bool:
        """Whether the other transport is closed or about to be."""
        return self._behind.is_closing()

    def can_write_eof(self) -> bool:
        """Whether the other transport can."""
        return self._behind.can_write_eof()

    def write_eof(self) -> None:
        """Send what was taken, and end the writing side."""
        self._flush()
        self._behind.write_eof()

    def get_write_buffer_size(self) -> int:
        """Return how many bytes are not sent yet."""
        return self._size + self._behind.get_write_buffer_size()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Return the low and the high limit of the other transport, in bytes."""
        return self._behind.get_write_buffer_limits()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set the limits of the other transport, in bytes."""
        self._behind.set_write_buffer_limits(high, low)

    def is_reading(self) -> bool:
        """Whether the other transport is read."""
        return self._behind.is_reading()

    def pause_reading(self) -> None:
        """Let the other transport rest."""
        self._behind.pause_reading()

    def resume_reading(self) -> None:
        """Read the other transport again."""
        self._behind.resume_reading()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Hand what arrives from now on to another protocol."""
        self._behind.set_protocol(protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return who gets what arrives."""
        return self._behind.get_protocol()

    def get_extra_info(self, name: str, default: object = None) -> object:
        """Return what the other transport knows of its socket."""
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
