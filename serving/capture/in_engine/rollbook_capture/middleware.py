"""ASGI middleware that spools a language model's requests and answers.

It runs inside other servers, in their own environments (vLLM's `--middleware`), so this folder only uses the standard
library.
"""

import contextlib
import json
import os
import select
import signal
import threading
from collections.abc import Mapping
from pathlib import Path

from .exchange import Exchange  # noqa: TID252 - the folder has another parent inside a foreign engine
from .policy import PolicyFile  # noqa: TID252 - the same
from .recorder import Recorder  # noqa: TID252 - the same
from .refusals import rewording  # noqa: TID252 - the same
from .spool import Spool  # noqa: TID252 - the same
from .wire import Application, Message, Receive, Scope, Send  # noqa: TID252 - the same

PREFIX = "ROLLBOOK_CAPTURE_"
_CAPTURED = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses")
_INSTANCE = "/rollbook/instance"
_NOT_FOR_CALLERS = ("/v1/load_lora_adapter", "/v1/unload_lora_adapter")
"""Routes for the engine's own host only.

A request with a prediction id came through the gateway, and one from another address came from another host. Both may
call the model but not change the engine, which would read any file on its host.
"""
_SPOOL_MAX_BYTES = 256 * 1024**2


class CaptureMiddleware:
    """Captures calls with the gateway's prediction id, reports which process this is, passes on everything else."""

    def __init__(self, app: Application, environ: Mapping[str, str] = os.environ) -> None:
        self._app = app
        self._identity = {name: environ[PREFIX + name.upper()] for name in ("instance_id", "boot_id", "deployment_id")}
        policies = PolicyFile(Path(environ[PREFIX + "POLICY_FILE"]))
        max_bytes = int(environ.get(PREFIX + "SPOOL_MAX_BYTES", _SPOOL_MAX_BYTES))
        self._recorder = Recorder(Spool(Path(environ[PREFIX + "SPOOL_DIR"]), max_bytes=max_bytes), policies)
        self._asks_for_usage = environ.get(PREFIX + "ASKS_FOR_USAGE", "1") == "1"
        self._refuses_prompt_logprobs = environ.get(PREFIX + "REFUSES_PROMPT_LOGPROBS", "0") == "1"
        self._in_flight = 0
        watched = int(environ.get(PREFIX + "WATCH_PID", "0"))
        if watched:
            threading.Thread(target=_end_with, args=(watched,), name="rollbook-watch", daemon=True).start()

    def close(self) -> None:
        """Write what is pending."""
        self._recorder.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, self._closing_at_shutdown(send))
        elif scope["type"] != "http" or scope["method"] != "POST":
            is_asked = scope["type"] == "http" and scope["path"] == _INSTANCE
            await (self._send_identity(send) if is_asked else self._app(scope, receive, send))
        else:
            self._in_flight += 1
            try:
                await self._pass(scope, receive, send)
            finally:
                self._in_flight -= 1

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        prediction_id = headers.get(b"x-prediction-id", b"").decode("latin-1")
        if scope["path"] in _NOT_FOR_CALLERS and (prediction_id or not _is_from_this_host(scope)):
            await _send_json(send, 404, {"error": {"message": "callers cannot do that", "code": "not-for-callers"}})
            return
        if not prediction_id or scope["path"] not in _CAPTURED:
            await self._app(scope, receive, send)
            return
        body, is_gone = await _read_body(receive)
        is_recorded = self._recorder.wants(prediction_id)
        exchange = Exchange(
            scope["path"],
            body,
            is_gone=is_gone,
            asks_for_usage=self._asks_for_usage and is_recorded,
            named=headers.get(b"x-rollbook-model", b"").decode("latin-1"),
        )
        is_refused = self._refuses_prompt_logprobs and exchange.asks_for_prompt_logprobs
        application = _refuse_prompt_logprobs if is_refused else self._app
        try:
            await application(exchange.scope_of(scope), exchange.receiving(receive), exchange.sending(rewording(send)))
        except Exception:
            exchange.break_off()
            raise
        finally:
            exchange.end()
            if is_recorded:
                self._recorder.record(prediction_id, exchange)

    async def _send_identity(self, send: Send) -> None:
        await _send_json(send, 200, {**self._identity, "pid": os.getpid(), "in_flight": self._in_flight})

    def _closing_at_shutdown(self, send: Send) -> Send:
        async def closing(message: Message) -> None:
            if message["type"].startswith("lifespan.shutdown."):
                self.close()
            await send(message)

        return closing


def _is_from_this_host(scope: Scope) -> bool:
    # A connection with the same address at both ends never left the host.
    client, server = scope.get("client"), scope.get("server")
    return bool(client and server and client[0] == server[0])


async def _refuse_prompt_logprobs(_scope: Scope, _receive: Receive, send: Send) -> None:
    await _send_json(
        send,
        400,
        {
            "error": {
                "message": "this engine holds adapters, and vLLM then crashes when asked for prompt log probabilities; "
                "omit `prompt_logprobs`, and `echo` with `logprobs`, or use an endpoint on a host without "
                "ROLLBOOK_AGENT_VLLM_ADAPTERS",
                "type": "invalid_request_error",
                "param": "prompt_logprobs",
                "code": "prompt-logprobs-beside-adapters",
            }
        },
    )


async def _send_json(send: Send, status: int, document: Mapping[str, object]) -> None:
    content = json.dumps(document).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


async def _read_body(receive: Receive) -> tuple[bytes, bool]:
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return b"".join(parts), True
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts), False


def _end_with(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        poller = select.poll()
        poller.register(os.pidfd_open(pid), select.POLLIN)
        poller.poll()
    os.kill(os.getpid(), signal.SIGTERM)
