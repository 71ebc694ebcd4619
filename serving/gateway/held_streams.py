"""The part of HTTP/2 needed to hold streams: settings, pings, and an end for each stream. No header is read."""

import asyncio
from collections.abc import Awaitable, Callable

from serving.gateway import names

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_FRAME_HEAD = 9
_MAX_FRAME_BYTES = 16_384
_DATA, _HEADERS, _RESET, _SETTINGS, _PING = 0, 1, 3, 4, 6
_ACK, _END_STREAM, _END_HEADERS = 1, 1, 4
_REFUSED_STREAM = (7).to_bytes(4)
"""The only reset that means: nothing was done, try again."""
_STATUS_200 = b"\x88"
_LITERAL = b"\x00"
"""A literal header field that is not added to any table."""
_UNAVAILABLE = b"14"


class HeldStreams:
    """One connection from Envoy; `wait` returns None when streams may continue, or else a code."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        wait: Callable[[], Awaitable[str | None]],
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._wait = wait
        self._held: dict[int, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Hold each stream that starts, until the connection ends."""
        self._write(_SETTINGS, 0, 0, b"")
        try:
            while True:
                head = await self._reader.readexactly(_FRAME_HEAD)
                length, kind, flags = int.from_bytes(head[:3]), head[3], head[4]
                stream = int.from_bytes(head[5:]) & 0x7FFF_FFFF
                if length > _MAX_FRAME_BYTES:
                    raise ValueError("a frame is larger than agreed")
                self._take(kind, flags, stream, await self._reader.readexactly(length))
        finally:
            for task in self._held.values():
                task.cancel()

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == _SETTINGS and not flags & _ACK:
            self._write(_SETTINGS, _ACK, 0, b"")
        elif kind == _PING and not flags & _ACK:
            self._write(_PING, _ACK, 0, payload)
        elif kind == _HEADERS and stream not in self._held:
            self._held[stream] = asyncio.create_task(self._hold(stream))
        elif kind == _RESET and stream in self._held:
            self._held.pop(stream).cancel()

    async def _hold(self, stream: int) -> None:
        code = await self._wait()
        if code is None:
            self._write(_RESET, 0, stream, _REFUSED_STREAM)
        else:
            self._write(_HEADERS, _END_HEADERS | _END_STREAM, stream, _refusal(code))
        self._held.pop(stream, None)

    def _write(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        self._writer.write(len(payload).to_bytes(3) + bytes((kind, flags)) + stream.to_bytes(4) + payload)


def _refusal(code: str) -> bytes:
    pairs = {
        b"content-type": b"application/grpc",
        b"grpc-status": _UNAVAILABLE,
        b"grpc-message": f"no instance is ready for the request ({code})".encode(),
        names.REASON.encode(): code.encode(),
    }
    return _STATUS_200 + b"".join(_LITERAL + _text(name) + _text(value) for name, value in pairs.items())


def _text(text: bytes) -> bytes:
    return bytes((len(text),)) + text
