"""The SDK against a server that breaks off and revokes, which the real one does not do on request."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from rollbook import AsyncRollbook, Rollbook, Unreachable

DIGEST = f"sha256:{'0' * 64}"


@contextmanager
def server(answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[str]:
    """Let a function answer each request."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_arguments: object) -> None:
            return

        def do_GET(self) -> None:
            answer(self)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            answer(self)

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listening.daemon_threads = True
    thread = threading.Thread(target=listening.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.server_port}"
    finally:
        listening.shutdown()
        listening.server_close()
        thread.join()


def say(request: BaseHTTPRequestHandler, status: int, text: str) -> None:
    request.send_response(status)
    request.send_header("content-length", str(len(text)))
    request.end_headers()
    request.wfile.write(text.encode())


def test_a_download_that_breaks_off_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"precious")

    def break_off(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("content-length", "999")
        request.end_headers()
        request.wfile.write(b"half")
        request.close_connection = True

    with server(break_off) as url, Rollbook(url) as client, pytest.raises(Unreachable):
        client.artifacts.download(DIGEST, path)

    assert path.read_bytes() == b"precious"
    assert [each.name for each in tmp_path.iterdir()] == ["model.onnx"]


def test_a_revoked_token_is_replaced() -> None:
    minted: list[str] = []
    asked: list[str] = []
    addresses: list[str] = []

    def answer(request: BaseHTTPRequestHandler) -> None:
        if request.path == "/readyz":
            known = '{"status":"ready","store":"ok","position":1,"parts":{},"failing":[],"gateway_url":"%s"}'
            say(request, 200, known % addresses[0])
        elif request.path == "/v1/inference-tokens":
            minted.append(f"t{len(minted)}")
            say(request, 201, f'{{"id":"i","token":"{minted[-1]}","expires_at":"x"}}')
        else:
            asked.append(request.headers["authorization"])
            is_revoked = asked[-1] == "Bearer t0"
            say(request, 401 if is_revoked else 200, '{"error":"revoked"}' if is_revoked else '{"inputs":[]}')

    async def both(url: str) -> list[object]:
        async with AsyncRollbook(url) as client:
            gateway = client._gateway  # noqa: SLF001  what predict asks first
            return list(await asyncio.gather(gateway.model("e"), gateway.model("e")))

    with server(answer) as url:
        addresses.append(url)
        found = asyncio.run(both(url))

    assert found == [[], []]
    assert set(asked) >= {"Bearer t0", "Bearer t1"}
    assert len(minted) <= 3
