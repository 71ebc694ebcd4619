"""Errors in the terms of OpenAI's clients: vLLM returns numbers where they expect names of errors."""

from typing import Any

from .json_text import read_object, written  # noqa: TID252 - the folder has another parent inside a foreign engine
from .wire import Message, Send, content_type  # noqa: TID252 - the same

_FIRST_REFUSAL, _FIRST_FAULT = 400, 500
_MAX_BYTES = 64 * 1024
_JSON = b"application/json"
_CALLERS, _SERVERS = "invalid_request_error", "server_error"
_CODES = {404: "model_not_found", 413: "request_too_large", 429: "rate_limit_exceeded"}
_TOO_LONG = ("maximum context length", "max_model_len", "maximum model length")


def rewording(send: Send) -> Send:
    """Pass answers on; an error with a numeric code is rewritten once it is complete."""
    start: list[Message] = []
    held = bytearray()

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            if message["status"] < _FIRST_REFUSAL or not content_type(message).startswith(_JSON):
                await send(message)
                return
            start.append(message)
            return
        if not start:
            await send(message)
            return
        held.extend(message.get("body", b""))
        if message.get("more_body", False) and len(held) <= _MAX_BYTES:
            return
        head, content = start.pop(), bytes(held)
        if not message.get("more_body", False):
            content = _reword(content, head["status"])
            head = {**head, "headers": _with_length(head, len(content))}
        await send(head)
        await send({**message, "body": content})

    return sending


def _reword(content: bytes, status: int) -> bytes:
    document = read_object(content)
    error = document.get("error")
    if not isinstance(error, dict) or not isinstance(error.get("code"), int):
        return content
    kind = _CALLERS if status < _FIRST_FAULT else _SERVERS
    return written({**document, "error": {**error, "type": kind, "code": _code_of(error, status)}}).encode()


def _code_of(error: dict[str, Any], status: int) -> str:
    message = error.get("message")
    if isinstance(message, str) and any(words in message for words in _TOO_LONG):
        return "context_length_exceeded"
    return _CODES.get(status, "invalid_request" if status < _FIRST_FAULT else "engine_error")


def _with_length(message: Message, length: int) -> list[tuple[bytes, bytes]]:
    others = [(name, value) for name, value in message.get("headers", ()) if bytes(name).lower() != b"content-length"]
    return [*others, (b"content-length", str(length).encode())]
