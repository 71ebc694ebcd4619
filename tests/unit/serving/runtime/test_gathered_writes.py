"""What is written in one turn of the loop leaves in one piece, in its order, and nothing is kept back."""

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from serving.capture.middleware import Receive, Send
from serving.runtime.either_protocol import either_protocol
from serving.runtime.gathered_writes import GatheredWrites


class Behind(asyncio.Transport):
    """Stands for a connection; keeps what each write brought."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.is_closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.is_closed
        self.writes.append(bytes(data))

    def close(self) -> None:
        self.is_closed = True

    abort = close

    def is_closing(self) -> bool:
        return self.is_closed

    def get_write_buffer_size(self) -> int:
        return 0

    def get_extra_info(self, name: str, default: object = None) -> object:
        del name
        return default


@pytest.fixture
def behind() -> Behind:
    return Behind()


async def test_writes_of_one_turn_leave_together(behind: Behind) -> None:
    gathered = GatheredWrites(behind)

    gathered.write(b"head ")
    gathered.write(b"body")
    assert gathered.get_write_buffer_size() == len(b"head body")
    await asyncio.sleep(0)
    gathered.writelines([b"ne", b"xt"])
    await asyncio.sleep(0)

    assert behind.writes == [b"head body", b"next"]


async def test_what_is_large_leaves_uncopied_in_its_order(behind: Behind) -> None:
    gathered, body = GatheredWrites(behind), b"x" * 1_000_000

    gathered.write(b"head ")
    gathered.write(body)
    # At once, so that a slow reader is felt.
    assert behind.writes == [b"head ", body]
    gathered.write(b"more")
    await asyncio.sleep(0)

    assert behind.writes == [b"head ", body, b"more"]


async def test_a_connection_that_ends_in_the_same_turn_is_written_no_more(behind: Behind) -> None:
    gathered = GatheredWrites(behind)

    gathered.write(b"too late")
    behind.close()
    await asyncio.sleep(0)

    assert behind.writes == []


async def test_closing_sends_what_was_written_and_aborting_drops_it(behind: Behind) -> None:
    other = Behind()
    closed, aborted = GatheredWrites(behind), GatheredWrites(other)

    for one in (closed, aborted):
        one.write(b"last words")
    closed.close()
    aborted.abort()
    await asyncio.sleep(0)

    assert (behind.writes, behind.is_closed) == ([b"last words"], True)
    assert (other.writes, other.is_closed) == ([], True)


async def test_an_answer_is_one_write(behind: Behind) -> None:
    async def application(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        del scope, receive
        await send({"type": "http.response.start", "status": 200, "headers": [], "trailers": False})
        await send({"type": "http.response.body", "body": b"all of it", "more_body": False})

    config = uvicorn.Config(application, lifespan="off", log_config=None)
    config.load()
    protocol = either_protocol("not asked")(config, ServerState(), {})  # type: ignore[call-arg]

    protocol.connection_made(behind)
    protocol.data_received(b"GET / HTTP/1.1\r\nhost: here\r\n\r\n")
    for _ in range(5):
        await asyncio.sleep(0)

    (answer,) = behind.writes
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"all of it" in answer
