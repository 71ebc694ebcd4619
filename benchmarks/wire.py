"""HTTP/1.1 with as little of our own CPU as Python allows: ready-made requests, one in flight a connection."""

import asyncio
import socket
from collections.abc import Callable, Mapping
from typing import Self, cast
from urllib.parse import urlsplit

import msgspec

_END_OF_HEAD = b"\r\n\r\n"
_CHUNK = 65_536
_TIMEOUT_S = 30.0


class Answer(msgspec.Struct, frozen=True):
    """A whole answer."""

    status: int
    head: bytes
    body: bytes

    def header(self, name: bytes) -> bytes:
        """Return a header by its name in lower case; nothing where it is missing."""
        return header_of(self.head, name)


def header_of(head: bytes, name: bytes) -> bytes:
    """Find a header in a head whose names are in lower case, as Envoy, uvicorn and h11 write them."""
    start = head.find(b"\r\n" + name + b": ")
    if start < 0:
        return b""
    start += len(name) + 4
    end = head.find(b"\r\n", start)
    return head[start : end if end >= 0 else None]


def request_bytes(method: str, path: str, *, headers: Mapping[str, str], body: bytes = b"") -> bytes:
    """Write a request."""
    lines = [f"{method} {path} HTTP/1.1", "host: benchmark", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def address_of(url: str) -> tuple[str, int]:
    """Return host and port of an address."""
    parts = urlsplit(url)
    assert parts.hostname
    assert parts.port
    return parts.hostname, parts.port


def take_answer(buffer: bytearray) -> Answer | None:
    """Take the answer off the front of what has arrived, or None while it is not whole.

    Raises:
        ConnectionError: it states no length, or is not HTTP.
    """
    end = buffer.find(_END_OF_HEAD)
    if end < 0:
        return None
    head = bytes(buffer[:end])
    lowered = head if b"\r\ncontent-length: " in head else head.lower()
    length = header_of(lowered, b"content-length")
    status = head[9:12]
    if not status.isdigit() or not (length or status == b"204"):
        raise ConnectionError(f"an answer that cannot be read: {head[:200]!r}")
    whole = end + len(_END_OF_HEAD) + int(length or 0)
    if len(buffer) < whole:
        return None
    body = bytes(buffer[end + len(_END_OF_HEAD) : whole])
    del buffer[:whole]
    return Answer(int(status), lowered, body)


class BlockingConnection:
    """One connection, one request at a time, for timing single requests with the least noise."""

    def __init__(self, url: str) -> None:
        self._socket = socket.create_connection(address_of(url), timeout=_TIMEOUT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask(self, request: bytes) -> Answer:
        """Send a request and return its answer.

        Raises:
            OSError: the other side is gone or slow.
        """
        self._socket.sendall(request)
        while (answer := take_answer(self._buffer)) is None:
            received = self._socket.recv(_CHUNK)
            if not received:
                raise ConnectionError("the connection was closed before the answer was whole")
            self._buffer += received
        return answer


class Connection(asyncio.Protocol):
    """One connection of an event loop; `answered` hears of each answer, `None` when the connection breaks."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._answered: Callable[[Answer | None], None] | None = None

    @property
    def is_open(self) -> bool:
        """Whether a request can be sent on it."""
        return self._transport is not None and not self._transport.is_closing()

    def ask(self, request: bytes, answered: Callable[[Answer | None], None]) -> None:
        """Send a request; not while another one is in flight."""
        assert self._transport is not None
        assert self._answered is None
        self._answered = answered
        self._transport.write(request)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        try:
            answer = take_answer(self._buffer)
        except ConnectionError:
            self.close()
            return
        if answer is not None:
            self._deliver(answer)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the form of the protocol
        self._transport = None
        self._deliver(None)

    def close(self) -> None:
        """End the connection; a request in flight gets an error."""
        if self._transport is not None:
            self._transport.abort()

    def _deliver(self, answer: Answer | None) -> None:
        answered, self._answered = self._answered, None
        if answered is not None:
            answered(answer)
