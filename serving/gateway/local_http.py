"""A minimal HTTP/1.1 client for Envoy's own small answers, over a Unix socket or loopback.

Markers need one connection per worker that is never replaced silently, ten times a second. httpx opens connections as
it sees fit, and takes ten times the CPU for each request.
"""

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from infra.stack.addresses import LOOPBACK

_MAX_BODY_BYTES = 4 * 1024 * 1024
_SOCKET_PATH_BYTES = 100


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A status, the headers in lower case, and the body."""

    status: int
    headers: dict[str, str]
    body: bytes


class LocalConnection:
    """One persistent connection. After an error it is closed, and the next request reopens it."""

    def __init__(self, address: Path | int, *, timeout_s: float = 2.0) -> None:
        self._address = address
        self._timeout_s = timeout_s
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def request(self, method: str, path: str, *, headers: Mapping[str, str] | None = None) -> Answer:
        """Send a request without a body and read its answer.

        Raises:
            ConnectionError: no connection, it broke, or no answer in time.
        """
        lines = [f"{method} {path} HTTP/1.1", "host: gateway", "content-length: 0"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        try:
            async with asyncio.timeout(self._timeout_s):
                reader, writer = self._streams or await self._open()
                writer.write("\r\n".join([*lines, "", ""]).encode())
                answer = await _read_answer(reader)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError) as error:
            self.close()
            raise ConnectionError(f"no answer to {method} {path}: {error!r}") from error
        except BaseException:
            # The caller gave up: the answer would still arrive, and the next request would mistake it for its own.
            self.close()
            raise
        if answer.headers.get("connection", "") == "close":
            self.close()
        return answer

    def close(self) -> None:
        """Close the connection."""
        if self._streams:
            self._streams[1].close()
            self._streams = None

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self._address, int):
            self._streams = await asyncio.open_connection(LOOPBACK, self._address)
        else:
            self._streams = await _open_socket(self._address)
        return self._streams


async def _open_socket(path: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    # The kernel limits a socket's path to 107 bytes; a deep data directory has a short name below /proc.
    if len(os.fsencode(path)) <= _SOCKET_PATH_BYTES:
        return await asyncio.open_unix_connection(path)
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        return await asyncio.open_unix_connection(f"/proc/self/fd/{folder}/{path.name}")
    finally:
        os.close(folder)


async def _read_answer(reader: asyncio.StreamReader) -> Answer:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    pairs = (line.split(":", 1) for line in head[1:] if line)
    headers = {name.strip().lower(): value.strip() for name, value in pairs}
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body = await _read_chunks(reader)
    else:
        body = await reader.readexactly(_checked_length(int(headers.get("content-length", "0"))))
    return Answer(status=int(head[0].split(" ")[1]), headers=headers, body=body)


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        _checked_length(len(body) + size)
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readexactly(2)
    return body


def _checked_length(length: int) -> int:
    if length > _MAX_BODY_BYTES:
        raise ValueError("the answer is too long")
    return length
