"""Holds the first requests for sleeping deployments until there is an instance; then Envoy itself sends them on.

Envoy has one socket per sleeping deployment in place of its instances. Requests that arrive there are not read, only
held: when an instance answers, the connection is reset, and Envoy, which kept the request, retries it on the instance.
So bodies are never copied, whatever the protocol, and the record shows two attempts. Too many requests, or too long a
wait, get a 503 with Retry-After and a code. The room speaks just enough HTTP/2 to hold and to reject streams.
"""

import asyncio
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import structlog

from serving.gateway import names
from serving.gateway.held_streams import PREFACE, HeldStreams
from serving.gateway.replies import OPENAI_PREFIX

_HEAD_LIMIT = 64 * 1024
_HEAD_S = 5.0
_TAKEN_UP_S = 0.02
"""Envoy's workers start using new instances moments after the acknowledgement."""
_RETRY_AFTER_S = 1
_ACCEPT_AGAIN_S = 0.1
_BACKLOG = 1_024
_NOT_READY = "no instance is ready for the request"
_OPENAI = f" {OPENAI_PREFIX}".encode()
"""Part of the first line of an OpenAI call, well within what is read of every request."""

_log = structlog.get_logger(__name__)


class WaitingRoom:
    """One deployment's socket, and who waits there. `on_arrival` is called for each request that has to wait."""

    def __init__(
        self, deployment_id: str, folder: Path, *, limit: int, max_s: float, on_arrival: Callable[[str], None]
    ) -> None:
        self.deployment_id = deployment_id
        self.waiting = 0
        self._limit = limit
        self._max_s = max_s
        self._on_arrival = on_arrival
        self._is_open = asyncio.Event()
        self._path = folder / f"{deployment_id}.sock"
        self._connections: set[asyncio.Task[None]] = set()
        self._socket = _listening(self._path)
        self._server = asyncio.create_task(self._serve())

    def hold(self) -> None:
        """Hold requests from now on."""
        self._is_open.clear()

    def let_go(self) -> None:
        """Release all requests, waiting or still to come: an instance is ready."""
        self._is_open.set()

    async def close(self) -> None:
        """Close the room; waiting requests are reset."""
        for task in (self._server, *self._connections):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        self._socket.close()
        self._path.unlink(missing_ok=True)

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(self._socket)
            except OSError as error:
                # Too many open files, most likely. New connections wait in the backlog meanwhile.
                _log.error("request_not_accepted", deployment_id=self.deployment_id, reason=str(error))
                await asyncio.sleep(_ACCEPT_AGAIN_S)
                continue
            task = loop.create_task(self._connected(connection))
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)

    async def _connected(self, connection: socket.socket) -> None:
        reader, writer = await asyncio.open_unix_connection(sock=connection, limit=_HEAD_LIMIT)
        try:
            first = await asyncio.wait_for(reader.readexactly(len(PREFACE)), _HEAD_S)
            if first == PREFACE:
                await HeldStreams(reader, writer, wait=self._wait).run()
            else:
                await self._hold_one(reader, writer, refusal=_openai_refusal if _OPENAI in first else _refusal)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError) as error:
            _log.debug("held_connection_ended", deployment_id=self.deployment_id, error=repr(error))
        finally:
            # After an answer this simply closes the connection; without one Envoy sees a reset and retries.
            writer.close()

    async def _hold_one(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, refusal: Callable[[str], bytes]
    ) -> None:
        gone = asyncio.create_task(_wait_until_gone(reader))
        waiting = asyncio.create_task(self._wait())
        try:
            await asyncio.wait({gone, waiting}, return_when=asyncio.FIRST_COMPLETED)
            if waiting.done() and (code := waiting.result()) is not None:
                writer.write(refusal(code))
                await writer.drain()
        finally:
            gone.cancel()
            waiting.cancel()

    async def _wait(self) -> str | None:
        """Return None once there is an instance, or else the code of the reason to stop waiting."""
        if self.waiting >= self._limit:
            _log.warning(
                "request_not_held", deployment_id=self.deployment_id, code=names.HOLD_FULL, waiting=self.waiting
            )
            return names.HOLD_FULL
        self.waiting += 1
        try:
            if not self._is_open.is_set():
                self._on_arrival(self.deployment_id)
            await asyncio.wait_for(self._is_open.wait(), self._max_s)
            await asyncio.sleep(_TAKEN_UP_S)
        except TimeoutError:
            _log.warning("request_not_held", deployment_id=self.deployment_id, code=names.HOLD_TIMEOUT)
            return names.HOLD_TIMEOUT
        finally:
            self.waiting -= 1
        return None


async def _wait_until_gone(reader: asyncio.StreamReader) -> None:
    """Keep reading and discard: Envoy keeps the request, and only reading shows that a caller has left."""
    while await reader.read(_HEAD_LIMIT):
        pass


def _refusal(code: str) -> bytes:
    return _answer(code, f'{{"error":"{_NOT_READY}","status":503,"code":"{code}"}}')


def _openai_refusal(code: str) -> bytes:
    error = f'{{"message":"{_NOT_READY}","type":"server_error","param":null,"code":"{code}"}}'
    return _answer(code, f'{{"error":{error}}}')


def _answer(code: str, body: str) -> bytes:
    return (
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nconnection: close\r\n"
        f"retry-after: {_RETRY_AFTER_S}\r\n{names.REASON}: {code}\r\ncontent-length: {len(body)}\r\n\r\n{body}"
    ).encode()


def _listening(path: Path) -> socket.socket:
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    listening = socket.socket(socket.AF_UNIX)
    try:
        # The kernel limits a socket's path to 107 bytes; a deep data directory has a short name below /proc.
        listening.bind(f"/proc/self/fd/{folder}/{path.name}")
        listening.listen(_BACKLOG)
        listening.settimeout(0)
    except OSError:
        listening.close()
        raise
    finally:
        os.close(folder)
    return listening
