"""The servers of a runtime process: HTTP/1.1 on the instance's port, and gRPC behind the same port."""

import asyncio
import secrets
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import grpc
import uvicorn

from infra.errors import PortTakenError
from infra.shutdown import ended_or_set
from infra.tracing import Application
from serving.runtime.either_protocol import either_protocol
from serving.runtime.gathered_writes import GatheringProtocol

# Envoy pools connections and closes idle ones itself (after an hour by default). A server that closes them first resets
# requests that are just being sent, so ours waits longer than any gateway.
_KEEP_ALIVE_S = 2 * 60 * 60
_BACKLOG = 2_048
# gRPC messages are read completely before they are counted.
_MESSAGES_AT_A_TIME = 512
_FRAME_ROOM = 64 * 1024


class _Server(uvicorn.Server):
    """uvicorn without its own signal handlers: the program decides when to stop."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextmanager
def private_socket() -> Iterator[str]:
    """Return the address of a Unix socket for this process alone, as asyncio takes it.

    On Linux it is an abstract address without a file, so an engine that is killed leaves nothing behind.
    """
    if sys.platform == "linux":
        yield f"\0rollbook-runtime-{secrets.token_hex(16)}"
    else:
        with tempfile.TemporaryDirectory(prefix="rollbook-runtime-") as folder:
            yield str(Path(folder) / "grpc.sock")


@asynccontextmanager
async def serving_grpc(
    handler: grpc.GenericRpcHandler, *, path: str, max_body_bytes: int, drain_s: float
) -> AsyncIterator[None]:
    """Serve gRPC on a private socket. At the end, calls in progress are answered and all connections closed."""
    options = [
        ("grpc.max_receive_message_length", max_body_bytes + _FRAME_ROOM),
        ("grpc.max_send_message_length", -1),
        # Keep-alives are always allowed: connections come from this machine.
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ]
    server = grpc.aio.server(options=options, maximum_concurrent_rpcs=_MESSAGES_AT_A_TIME)
    server.add_generic_rpc_handlers((handler,))
    server.add_insecure_port(f"unix-abstract:{path[1:]}" if path.startswith("\0") else f"unix:{path}")
    await server.start()
    try:
        yield
    finally:
        await server.stop(drain_s)


@asynccontextmanager
async def serving_http(
    application: Application, *, listener: socket.socket, drain_s: float, grpc_socket: str | None = None
) -> AsyncIterator[asyncio.Task[None]]:
    """Serve on the listener and return the server's task; gRPC calls go to the socket, if there is one."""
    config = uvicorn.Config(
        application,
        loop="none",
        http=either_protocol(grpc_socket) if grpc_socket else GatheringProtocol,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=max(1, round(drain_s)),
    )
    server = _Server(config)
    task = asyncio.ensure_future(server.serve(sockets=[listener]))
    try:
        yield task
    finally:
        server.should_exit = True
        await task


async def wait_until_stopped(stopping: asyncio.Event, server: asyncio.Task[None]) -> None:
    """Return once the program is asked to stop; a server that ends earlier is a failure of the program."""
    await ended_or_set(server, stopping)
    if server.done() and not stopping.is_set():
        server.result()
        raise RuntimeError("the HTTP server stopped unexpectedly")


def listening(host: str, port: int) -> socket.socket:
    """Open the instance's port.

    Raises:
        PortTakenError: another process uses it.
    """
    # The protocol is named because asyncio only disables Nagle's algorithm if it is.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise PortTakenError(port=port, purpose="an engine") from error
    return listener
