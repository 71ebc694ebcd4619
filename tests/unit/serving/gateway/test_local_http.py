"""The small client of Envoy's own answers: each request gets its own answer, or none."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from serving.gateway.local_http import LocalConnection

HELD_BACK = "/held-back"


@asynccontextmanager
async def answering(socket: Path, *, release: asyncio.Event, length: int | None = None) -> AsyncIterator[None]:
    """Answer each request with its own path as the body; the one that is held back waits for its release."""
    ended: list[asyncio.Event] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ended.append(asyncio.Event())
        is_over = ended[-1]
        try:
            while True:
                path = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1]
                if path == HELD_BACK.encode():
                    await release.wait()
                said = len(path) if length is None else length
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (said, path))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()
            is_over.set()

    server = await asyncio.start_unix_server(serve, socket)
    try:
        yield
    finally:
        server.close()
        for each in ended:
            await each.wait()


async def test_a_request_that_was_given_up_leaves_its_answer_to_nobody(tmp_path: Path) -> None:
    release = asyncio.Event()
    async with answering(tmp_path / "s", release=release), LocalConnection(tmp_path / "s") as connection:
        given_up = asyncio.create_task(connection.request("GET", HELD_BACK))
        await connection_is_open(connection)
        given_up.cancel()
        await asyncio.wait({given_up})
        release.set()

        assert (await connection.request("GET", "/next")).body == b"/next"


async def test_an_answer_that_is_too_long_is_no_answer(tmp_path: Path) -> None:
    released = asyncio.Event()
    async with (
        answering(tmp_path / "s", release=released, length=1_000_000_000),
        LocalConnection(tmp_path / "s") as connection,
    ):
        with pytest.raises(ConnectionError, match="too long"):
            await connection.request("GET", "/large")


async def connection_is_open(connection: LocalConnection) -> None:
    """Wait until the request is on its way."""
    async with asyncio.timeout(60):
        while connection._streams is None:  # noqa: SLF001  nothing else tells it
            await asyncio.sleep(0)
