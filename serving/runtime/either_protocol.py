"""One port for REST and gRPC, so that an instance has one address, whatever its callers speak.

A connection that starts with HTTP/2's preface is forwarded byte by byte to the gRPC server in this process. Any other
is HTTP/1.1 and answered directly.
"""

import asyncio
import socket
from collections.abc import Callable

import structlog

from serving.runtime.gathered_writes import GatheringProtocol

_PREFACE = b"PRI * HTTP/2.0"
_log = structlog.get_logger(__name__)


def either_protocol(grpc_socket: str) -> type[asyncio.Protocol]:
    """Return the protocol of a connection that may be either; the server at the socket answers gRPC."""

    class EitherProtocol(GatheringProtocol):
        """HTTP/1.1 as uvicorn speaks it, once the first bytes have shown that it is HTTP/1.1."""

        _first: bytes | None = b""

        def data_received(self, data: bytes) -> None:
            if self._first is None:
                super().data_received(data)
                return
            self._first += data
            if len(self._first) < len(_PREFACE) and _PREFACE.startswith(self._first):
                return
            first, self._first = self._first, None
            if first.startswith(_PREFACE):
                self.connections.discard(self)
                _Relay(self.transport).begin(first, grpc_socket)
            else:
                super().data_received(first)

    return EitherProtocol


class _Relay:
    """Two connections that forward bytes to each other; neither is read faster than the other can be written."""

    def __init__(self, front: asyncio.Transport) -> None:
        self._front = front
        self._task: asyncio.Task[None] | None = None

    def begin(self, first: bytes, path: str) -> None:
        self._front.pause_reading()
        # Referenced by the connection's protocol, so that the task is not garbage-collected before it ends.
        self._task = asyncio.get_running_loop().create_task(self._join(first, path))
        self._front.set_protocol(_Opening(self))

    async def _join(self, first: bytes, path: str) -> None:
        try:
            # The gRPC server speaks first, possibly before this task continues.
            back, _ = await _connection(lambda: _End(self._front), path)
        except OSError as error:
            _log.warning("grpc_connection_refused", reason=str(error))
            self._front.abort()
            return
        if self._front.is_closing():
            back.abort()
            return
        back.write(first)
        self._front.set_protocol(_End(back))
        self._front.resume_reading()


async def _connection(
    protocol: Callable[[], asyncio.Protocol], path: str
) -> tuple[asyncio.Transport, asyncio.BaseProtocol]:
    """Connect to a Unix socket with our own socket, because uvloop rejects abstract addresses."""
    loop = asyncio.get_running_loop()
    client = socket.socket(socket.AF_UNIX)
    client.setblocking(False)  # noqa: FBT003  the standard library's form
    try:
        await loop.sock_connect(client, path)
    except BaseException:
        client.close()
        raise
    return await loop.create_unix_connection(protocol, sock=client)


class _Opening(asyncio.Protocol):
    """A connection while the other one is being made; it is not read then."""

    def __init__(self, relay: _Relay) -> None:
        self.relay = relay


class _End(asyncio.Protocol):
    def __init__(self, other: asyncio.Transport) -> None:
        self.other = other

    def data_received(self, data: bytes) -> None:
        self.other.write(data)

    def connection_lost(self, error: Exception | None) -> None:
        del error
        self.other.close()

    def pause_writing(self) -> None:
        self.other.pause_reading()

    def resume_writing(self) -> None:
        if not self.other.is_closing():
            self.other.resume_reading()
