"""An application that stands for a language model's server, inside whose process our middleware captures."""

import json
from typing import Any

from serving.capture.in_engine.rollbook_capture.wire import Receive, Scope, Send

CHAT = "/v1/chat/completions"
ASKED = {"model": "story", "messages": [{"role": "user", "content": "Tell me"}]}
USAGE = {"prompt_tokens": 4, "completion_tokens": 3, "total_tokens": 7}
WHOLE = {
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Once upon"}, "finish_reason": "stop"}],
    "usage": USAGE,
}


class Engine:
    """An application that answers as told, and keeps what it was asked."""

    def __init__(self, *parts: dict[str, Any] | bytes, status: int = 200, until_gone_after: int | None = None) -> None:
        self._parts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in parts]
        self._status = status
        self._until_gone_after = until_gone_after
        self.asked: dict[str, Any] = {}
        self.headers: dict[bytes, bytes] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.headers = dict(scope["headers"])
        self.asked = json.loads((await receive())["body"])
        is_stream = b"".join(self._parts).startswith((b"data:", b"event:"))
        media_type = b"text/event-stream; charset=utf-8" if is_stream else b"application/json"
        headers = [(b"content-type", media_type)]
        await send({"type": "http.response.start", "status": self._status, "headers": headers})
        for index, part in enumerate(self._parts):
            if index == self._until_gone_after:
                while (await receive())["type"] != "http.disconnect":
                    pass
                return
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


def event(document: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(document).encode() + b"\n\n"


def delta(text: str, *, finish: str | None = None) -> bytes:
    return event({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish}]})


STREAM = [delta(""), delta("Once"), delta(" upon"), delta("", finish="stop"), event({"choices": [], "usage": USAGE})]
END = b"data: [DONE]\n\n"
