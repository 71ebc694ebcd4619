"""Markers of the gateway's workers, asked for by its clock and by its end at the same time."""

import asyncio
from pathlib import Path

from serving.gateway import names
from serving.gateway.markers import Markers


async def test_two_who_ask_at_once_take_turns(tmp_path: Path) -> None:
    asked: list[str] = []
    ended: list[asyncio.Event] = []
    may_answer = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ended.append(asyncio.Event())
        is_over = ended[-1]
        try:
            while True:
                asked.append((await reader.readuntil(b"\r\n\r\n")).split(b" ")[1].decode())
                await may_answer.wait()
                writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
                await writer.drain()
        except asyncio.IncompleteReadError:
            writer.close()
            await writer.wait_closed()
            is_over.set()

    server = await asyncio.start_unix_server(serve, tmp_path / names.MARKER_SOCKET)
    markers = Markers(tmp_path, workers=2)
    both = [asyncio.create_task(markers.send()) for _ in range(2)]
    while not asked:
        await asyncio.sleep(0)
    may_answer.set()

    assert await asyncio.gather(*both) == [True, True]
    assert asked == ["/0", "/1", "/0", "/1"]

    markers.close()
    server.close()
    for each in ended:
        await each.wait()
