"""An engine that replays tokens which vLLM once wrote, at the times they came: what computes nothing can be loaded.

The serving agent starts it in vLLM's place, with our capture middleware inside; ROLLBOOK_AGENT_VLLM_PYTHON names the
program that `write_program` makes. `replay.json` in the model directory says what it replays and how it goes wrong.
"""

import argparse
import asyncio
import importlib
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import uvicorn

RECORDED = Path(__file__).with_name("recorded_tokens.json")
REPLAY = "replay.json"
SIGNATURE: dict[str, Any] = {
    "inputs": [{"name": "prompt", "datatype": "BYTES", "shape": [-1]}],
    "outputs": [{"name": "completion", "datatype": "BYTES", "shape": [-1]}],
}
_EVENTS = [(b"content-type", b"text/event-stream")]
_JSON = [(b"content-type", b"application/json")]
_CHAT = "/v1/chat/completions"
_POSTS = ("/v1/completions", _CHAT)
_DEFAULT_TOKENS = 16

Message: TypeAlias = dict[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]


class Token(msgspec.Struct, frozen=True, array_like=True):
    """A token, and how long after the one before it came; the first one's time is that from the request."""

    after_ms: float
    text: str


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """What each call is answered. The process ends in the answer to the prompt `dies_of`; to none where it is empty."""

    tokens: list[Token]
    dies_of: str = ""
    is_ever_ready: bool = True


def recorded(*, speed: float = 1.0) -> list[Token]:
    """Return what vLLM 0.32 (CPU build, two threads) wrote for a stream that was alone on it, faster where asked."""
    tokens = msgspec.json.decode(RECORDED.read_bytes(), type=list[Token])
    return [Token(token.after_ms / speed, token.text) for token in tokens]


def write_program(folder: Path) -> Path:
    """Write the program that stands for the Python of vLLM's environment, with a copy of this module beside it.

    An engine can read its environment, but not the folder of this project.
    """
    modules, path = folder / "environment" / "lib", folder / "environment" / "bin" / "python"
    for each in (modules, path.parent):
        each.mkdir(parents=True)
    shutil.copy(__file__, modules)
    lines = (f"#!{sys.executable}", "import sys", f"sys.path.insert(0, {str(modules)!r})")
    path.write_text("\n".join((*lines, "from replaying_engine import main", "sys.exit(main())", "")))
    path.chmod(0o755)
    return path


def write_model(folder: Path, replay: Replay) -> Path:
    """Write a model directory that replays."""
    folder.mkdir(parents=True)
    head = b"{}"
    (folder / "model.safetensors").write_bytes(len(head).to_bytes(8, "little") + head)
    (folder / "config.json").write_text('{"architectures": ["ReplayForCausalLM"]}')
    (folder / REPLAY).write_bytes(msgspec.json.encode(replay))
    return folder


def golden(replay: Replay) -> dict[str, Any]:
    """Return a golden example, as a version wants it."""
    given = {"name": "prompt", "datatype": "BYTES", "shape": [1], "data": ["Return"]}
    return {"inputs": [given], "outputs": {"completion": [replay.tokens[0].text]}}


class Engine:
    """The routes of vLLM that the agent and callers use, as an ASGI application."""

    def __init__(self, replay: Replay, *, name: str) -> None:
        self._replay = replay
        self._name = name
        self._calls = 0
        self._running = 0

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "http" and scope["path"] in _POSTS:
            self._running += 1
            try:
                await self._complete(scope["path"], await _body(receive), send)
            finally:
                self._running -= 1
        elif scope["type"] == "http":
            await self._answer_get(scope["path"], send)

    async def _answer_get(self, path: str, send: Send) -> None:
        if path == "/health":
            await _answer(send, 200 if self._replay.is_ever_ready else 503, b"")
        elif path == "/v1/models":
            await _answer(send, 200, msgspec.json.encode({"object": "list", "data": [{"id": self._name}]}))
        elif path == "/metrics":
            await _answer(send, 200, f"vllm:num_requests_running {self._running}\n".encode())
        else:
            await _answer(send, 404, b'{"error": {"message": "not found", "code": 404}}')

    async def _complete(self, path: str, asked: dict[str, Any], send: Send) -> None:
        self._calls += 1
        is_last = bool(self._replay.dies_of) and asked.get("prompt") == self._replay.dies_of
        tokens = self._replay.tokens[: int(asked.get("max_tokens") or _DEFAULT_TOKENS)]
        written = _Answer(path, name=self._name, number=self._calls)
        if asked.get("stream"):
            await self._stream(written, tokens, asked, send, is_last=is_last)
            return
        await asyncio.sleep(sum(token.after_ms for token in tokens) / 1_000)
        if is_last:
            _die()
        text = "".join(token.text for token in tokens)
        whole = {**written.whole(text), "usage": _usage(asked, len(tokens))}
        await _answer(send, 200, msgspec.json.encode(whole))

    async def _stream(
        self, written: "_Answer", tokens: Sequence[Token], asked: dict[str, Any], send: Send, *, is_last: bool
    ) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": _EVENTS})
        due = time.monotonic()
        for number, token in enumerate(tokens, 1):
            due += token.after_ms / 1_000
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            if is_last and number > 1:
                _die()
            finish = "length" if number == len(tokens) else None
            await _event(send, msgspec.json.encode(written.piece(token.text, finish)))
        if (asked.get("stream_options") or {}).get("include_usage"):
            await _event(
                send, msgspec.json.encode({**written.head, "choices": [], "usage": _usage(asked, len(tokens))})
            )
        await _event(send, b"[DONE]")
        await send({"type": "http.response.body", "body": b""})


class _Answer:
    """Writes an answer in the form of its route."""

    def __init__(self, path: str, *, name: str, number: int) -> None:
        self._is_chat = path == _CHAT
        kind = "chat.completion" if self._is_chat else "text_completion"
        self.head = {"id": f"cmpl-{number}", "object": kind, "created": int(time.time()), "model": name}

    def whole(self, text: str) -> dict[str, Any]:
        said = {"message": {"role": "assistant", "content": text}} if self._is_chat else {"text": text}
        return {**self.head, "choices": [{"index": 0, **said, "finish_reason": "length"}]}

    def piece(self, text: str, finish: str | None) -> dict[str, Any]:
        said = {"delta": {"content": text}} if self._is_chat else {"text": text}
        return {**self.head, "choices": [{"index": 0, **said, "finish_reason": finish}]}


def _usage(asked: dict[str, Any], written: int) -> dict[str, int]:
    read = len(str(asked.get("prompt") or asked.get("messages") or "").split())
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


async def _event(send: Send, content: bytes) -> None:
    await send({"type": "http.response.body", "body": b"data: " + content + b"\n\n", "more_body": True})


async def _answer(send: Send, status: int, content: bytes) -> None:
    headers = [*_JSON, (b"content-length", str(len(content)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


async def _body(receive: Receive) -> dict[str, Any]:
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return msgspec.json.decode(b"".join(parts), type=dict[str, Any])


async def _live(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


def main() -> int:
    """Serve as vLLM's server is told to by its command line; what it says of the engine itself is passed over."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--middleware", required=True)
    parser.add_argument("--served-model-name", nargs="+", required=True)
    parser.add_argument("--shutdown-timeout", type=int, required=True)
    options, _ = parser.parse_known_args()
    replay = msgspec.json.decode((options.model / REPLAY).read_bytes(), type=Replay)
    module, _, name = options.middleware.rpartition(".")
    middleware: Any = getattr(importlib.import_module(module), name)
    application = middleware(Engine(replay, name=options.served_model_name[0]))
    with socket.create_server((options.host, options.port), backlog=1_024) as listener:
        config = uvicorn.Config(
            application, log_level="warning", lifespan="on", timeout_graceful_shutdown=options.shutdown_timeout
        )
        uvicorn.Server(config).run(sockets=[listener])
    return 0
