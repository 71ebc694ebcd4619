"""What one caller may take: connections, headers, time, and memory for answers that it does not read."""

import asyncio
import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import grpc
import httpx
import pytest

from serving.gateway.limits import Limits
from tests.support.gateway import GUARD_S, BackEnd, Gateway, calling, serve_digits, serving_gateway, until

INFER = "/v2/models/digits/infer"
IDLE_CONNECTIONS = 10_000
PIECE = b"x" * 10_000
BIG_ANSWER = 2_000 * len(PIECE)
MEBIBYTE = 1024**2


class TalkativeBackEnd(BackEnd):
    """Answers every request with many bytes."""

    answering = 0

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
                is_short = b"x-short" in head.lower()
                await reader.readexactly(length)
                self.requests += 1
                await self._answer(writer, pieces=1 if is_short else BIG_ANSWER // len(PIECE))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _answer(self, writer: asyncio.StreamWriter, *, pieces: int) -> None:
        self.answering += 1
        try:
            writer.write(f"HTTP/1.1 200 OK\r\ncontent-length: {pieces * len(PIECE)}\r\n\r\n".encode())
            for _ in range(pieces):
                writer.write(PIECE)
                await writer.drain()
        finally:
            # A request that Envoy gives up on and sends again is not answered twice.
            self.answering -= 1


@contextmanager
def connections(gateway: Gateway, count: int) -> Iterator[list[socket.socket]]:
    """Open connections that send and read nothing by themselves."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(socket.create_connection(("127.0.0.1", gateway.ports.gateway), timeout=GUARD_S))
            for _ in range(count)
        ]


def beginning(connection: socket.socket) -> bytes:
    """Return the protocol and status of what has come on a connection, without taking it, or what became of it."""
    connection.settimeout(0)
    try:
        return connection.recv(12, socket.MSG_PEEK) or b"closed"
    except BlockingIOError:
        return b"nothing yet"
    except ConnectionResetError:
        return b"reset"


def is_closed(connection: socket.socket) -> bool:
    """Return whether the other side has closed a connection on which it never sends anything."""
    connection.settimeout(0)
    try:
        return connection.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


async def read_to_end(connection: socket.socket) -> bytes:
    """Return what comes until the other side closes the connection."""

    def read() -> bytes:
        connection.settimeout(GUARD_S)
        received = b""
        while piece := connection.recv(65_536):
            received += piece
        return received

    return await asyncio.to_thread(read)


async def test_ten_thousand_idle_connections_keep_nobody_else_from_being_served(
    gateway: Gateway, client: httpx.AsyncClient
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = IDLE_CONNECTIONS + 1_000
    if hard < wanted:
        pytest.skip(f"this machine lets a process open {hard} files, {wanted} are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    await serve_digits(gateway)
    before = gateway.envoy_process.memory_info().rss
    with connections(gateway, IDLE_CONNECTIONS):

        async def are_taken() -> bool:
            active = await gateway.stats(r"^http\.public\.downstream_cx_active$")
            return active["http.public.downstream_cx_active"] >= IDLE_CONNECTIONS

        await until(are_taken, why="ten thousand connections")
        statuses = {(await client.post(INFER, json={})).status_code for _ in range(50)}
        grown = gateway.envoy_process.memory_info().rss - before
        assert await are_taken(), "some were closed for the others"

    assert statuses == {200}
    assert grown < 500 * MEBIBYTE


async def test_connections_beyond_the_limit_are_refused_and_the_others_stay(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path, ROLLBOOK_ENVOY_MAX_CONNECTIONS="20")
    async with serving_gateway(gateway), calling(gateway) as client:
        await serve_digits(gateway)
        assert (await client.post(INFER, json={})).status_code == 200
        with connections(gateway, 30) as idle:
            await until(lambda: sum(map(is_closed, idle)) >= 10, why="ten of thirty connections refused")

            assert (await client.post(INFER, json={})).status_code == 200
            assert not all(map(is_closed, idle))

        async def takes_others() -> bool:
            async with calling(gateway) as other:
                try:
                    return (await other.post(INFER, json={})).status_code == 200
                except httpx.TransportError:
                    return False

        await until(takes_others)


async def test_an_idle_connection_is_closed_after_its_time(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path, limits=Limits(idle_s=0.5))
    async with serving_gateway(gateway):
        with connections(gateway, 1) as (connection,):
            assert await read_to_end(connection) == b""


@pytest.mark.parametrize(
    ("path", "form"), [(INFER, b'"status":408'), ("/v1/completions", b'"type":"invalid_request_error"')]
)
async def test_a_request_whose_body_never_comes_is_ended(tmp_path: Path, path: str, form: bytes) -> None:
    gateway = Gateway(tmp_path, limits=Limits(receive_s=0.5))
    async with serving_gateway(gateway):
        await serve_digits(gateway)
        head = [f"POST {path} HTTP/1.1", "host: gateway", "content-length: 1000"]
        head.append(f"authorization: Bearer {gateway.tokens.mint()}")
        with connections(gateway, 1) as (connection,):
            connection.sendall("\r\n".join([*head, "", "x"]).encode())

            answer = await read_to_end(connection)

        assert answer.startswith(b"HTTP/1.1 408")
        assert form in answer


@pytest.mark.parametrize(
    "bomb", [{f"x-many-{number}": "x" for number in range(200)}, {"x-large": "x" * 70_000}], ids=["many", "large"]
)
async def test_a_bomb_of_headers_is_refused(gateway: Gateway, client: httpx.AsyncClient, bomb: dict[str, str]) -> None:
    await serve_digits(gateway)

    assert (await client.post(INFER, json={}, headers=bomb)).status_code == 431

    assert (await client.post(INFER, json={})).status_code == 200
    assert gateway.back_ends[0].requests == 1


async def test_a_bomb_of_headers_over_http2_ends_that_call_alone(gateway: Gateway, client: httpx.AsyncClient) -> None:
    await serve_digits(gateway)
    bomb = tuple((f"x-many-{number}", "x" * 500) for number in range(200))
    async with grpc.aio.insecure_channel(f"127.0.0.1:{gateway.ports.gateway}") as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")

        with pytest.raises(grpc.aio.AioRpcError):
            await call(b"\x0a\x06digits", metadata=bomb, timeout=180)

    assert (await client.post(INFER, json={})).status_code == 200


async def test_callers_that_do_not_read_their_answers_take_little_memory(
    gateway: Gateway, client: httpx.AsyncClient
) -> None:
    talkative = TalkativeBackEnd("talkative")
    await serve_digits(gateway, talkative)
    token = gateway.tokens.mint()
    request = f"POST {INFER} HTTP/1.1\r\nhost: g\r\ncontent-length: 0\r\nauthorization: Bearer {token}\r\n\r\n".encode()
    before = gateway.envoy_process.memory_info().rss
    with connections(gateway, 40) as slow:
        for connection in slow:
            connection.sendall(request)

        async def are_all_held_up() -> bool:
            # Envoy reads no further of an answer whose caller does not read, once its buffer is full. One that began
            # may be paused twice before another one begins.
            paused = await gateway.stats(r"^cluster\.d1\.upstream_flow_control_paused_reading_total$")
            return talkative.answering == 40 and sum(paused.values()) >= 40

        await until(are_all_held_up, why="forty answers that Envoy stopped to read")
        grown = gateway.envoy_process.memory_info().rss - before
        answer = await client.post(INFER, content=b"", headers={"x-short": "1"})
        # One that Envoy gave up on before it began counts until the back end notices; the one in its place counts then.
        await until(lambda: talkative.answering == 40, why="none of the forty came to an end")

    assert answer.status_code == 200
    assert grown < 40 * 3 * MEBIBYTE + 30 * MEBIBYTE < 40 * BIG_ANSWER
