"""One call of a language model: the request, what the answer says about itself, and when its parts arrived."""

import re
import time
from typing import Any

from .json_text import read_object, written  # noqa: TID252 - the folder has another parent inside a foreign engine
from .policy import Policy  # noqa: TID252 - the same
from .wire import Message, Receive, Scope, Send, content_type  # noqa: TID252 - the same

_CHAT = "/v1/chat/completions"
_STREAMS_WITHOUT_USAGE = (_CHAT, "/v1/completions")
_SELECTOR = re.compile("[@:]")
_INPUTS = ("messages", "prompt", "input")
# Feedback has at most 1,024 characters, so a text that is cut here equals none.
_MAX_PREDICTION = 1_025
_OK = 200
_DISCONNECTED = 499
_INT64_LIMIT = 2**63
_EVENTS = b"text/event-stream"
_EVENT_END = re.compile(rb"\r\n\r\n|\n\n|\r\r")
_MAX_END_BYTES = 4


class Exchange:
    """One call. A stream is asked for its usage, which is removed again unless the caller asked for it."""

    def __init__(
        self, path: str, body: bytes, *, is_gone: bool = False, asks_for_usage: bool = True, named: str = ""
    ) -> None:
        self._began = time.monotonic()
        self._first: float | None = None
        self._last: float | None = None
        self._ended = self._began
        self._asked = read_object(body)
        self._is_chat = path == _CHAT
        self._body = body if self._is_known_by(named) else written(self._asked).encode()
        self._hides_usage = asks_for_usage and path in _STREAMS_WITHOUT_USAGE and self._ask_for_usage()
        self._is_stream = False
        self._held = bytearray()
        self._kept_back: list[bytes] = []
        self._is_handed_on = self._is_finished = False
        self._is_gone = is_gone
        self._status = 0
        self._texts: dict[int, str] = {}
        self._calls: dict[int, dict[str, str]] = {}
        self._usage: dict[str, Any] = {}
        self._finish = ""
        self._pieces = 0

    @property
    def asks_for_prompt_logprobs(self) -> bool:
        """Return whether the caller asks for the log probabilities of the prompt too."""
        # For vLLM's chat, `echo` alone requests them.
        is_scored = self._is_chat or self._asked.get("logprobs") is not None
        return self._asked.get("prompt_logprobs") is not None or bool(self._asked.get("echo") and is_scored)

    def scope_of(self, scope: Scope) -> Scope:
        """Return the scope with the length of the body that is passed on."""
        length = str(len(self._body)).encode()
        headers = [(name, length if name == b"content-length" else value) for name, value in scope["headers"]]
        return {**scope, "headers": headers}

    def receiving(self, receive: Receive) -> Receive:
        """Pass on the body, then what the server reports about the connection."""

        async def replayed() -> Message:
            if not self._is_handed_on:
                self._is_handed_on = True
                return {"type": "http.request", "body": self._body, "more_body": False}
            if self._is_gone:
                return {"type": "http.disconnect"}
            message = await receive()
            if message["type"] == "http.disconnect" and not self._is_finished:
                self._is_gone = True
            return message

        return replayed

    def sending(self, send: Send) -> Send:
        """Inspect a part of the answer as it passes."""

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._status = message["status"]
                # An error is a single document even if a stream was requested; and servers accept more than `true` as
                # true.
                self._is_stream = self._status == _OK and content_type(message).startswith(_EVENTS)
                self._hides_usage = self._hides_usage and self._is_stream
                await send(message)
                return
            ends = not message.get("more_body", False)
            content = self._take(message.get("body", b""), ends=ends)
            # Before the last part is sent: an answer that the caller has completely did not break off.
            self._is_finished = ends
            if content or ends:
                await send({**message, "body": content})

        return watched

    def break_off(self) -> None:
        """Note that the answer ended in an error."""
        self._finish = "broken-off"

    def end(self) -> None:
        """Note that the answer is complete."""
        self._ended = self._last or time.monotonic()
        self._held.clear()

    @property
    def held_bytes(self) -> int:
        """What is kept in memory until it is recorded."""
        return len(self._body) + sum(map(len, self._texts.values()))

    def record(self, prediction_id: str, now_ms: int, policy: Policy) -> list[Any]:
        """Return the record with the policy applied."""
        ended = self._ended
        given, made = self._tokens()
        inputs = {name: self._asked[name] for name in _INPUTS if name in self._asked}
        outputs: dict[str, Any] = {"completion": self._texts[min(self._texts)]} if self._texts else {}
        if self._calls:
            outputs["tool_calls"] = [call for _, call in sorted(self._calls.items())]
        kept = policy.kept(outputs, names=policy.outputs)
        completion = kept.get("completion", {})
        # What the policy withheld or cut would compare as wrong.
        is_whole = policy.prediction and "data" in completion and "truncated" not in completion
        said = str(completion["data"][0])[:_MAX_PREDICTION] if is_whole else ""
        first_ms = (self._first - self._began) * 1_000 if self._first and self._is_stream else -1.0
        each_ms = (ended - self._first) * 1_000 / (made - 1) if self._first and self._is_stream and made > 1 else -1.0
        return [
            *("r", prediction_id, now_ms),
            _DISCONNECTED if self._is_gone else self._status,
            (ended - self._began) * 1_000,
            said,
            written(policy.kept(inputs, names=policy.inputs)),
            written(kept),
            *(policy.version, policy.retention_days),
            *(given, made, first_ms, each_ms),
            "disconnected" if self._is_gone else self._finish,
            "BYTES" if is_whole else "",
        ]

    def _is_known_by(self, named: str) -> bool:
        """Strip a version that the gateway has resolved from the model's name; return whether there was none."""
        endpoint = _SELECTOR.split(named, maxsplit=1)[0]
        if endpoint == named or self._asked.get("model") != named:
            return True
        self._asked["model"] = endpoint
        return False

    def _ask_for_usage(self) -> bool:
        options = self._asked.get("stream_options")
        is_asked = isinstance(options, dict) and options.get("include_usage")
        if self._asked.get("stream") is not True or is_asked or not isinstance(options, dict | None):
            return False
        self._body = written({**self._asked, "stream_options": {**(options or {}), "include_usage": True}}).encode()
        return True

    def _take(self, content: bytes, *, ends: bool) -> bytes:
        fresh = max(0, len(self._held) - _MAX_END_BYTES + 1)
        self._held += content
        if not self._is_stream:
            if ends:
                self._learn(read_object(bytes(self._held)))
            return content
        events, until = [], 0
        for end in _EVENT_END.finditer(self._held, fresh):
            events.append(bytes(self._held[until : end.end()]))
            until = end.end()
        del self._held[:until]
        read = [(event, self._learn_event(event)) for event in events]
        if not self._hides_usage:
            return content
        passed = [shown for event, document in read for shown in self._shown(event, document)]
        if ends:
            passed += self._kept_back
        return b"".join(passed) + (bytes(self._held) if ends else b"")

    def _learn_event(self, event: bytes) -> dict[str, Any]:
        """Read one event of a stream and return its content."""
        lines = [line[5:].strip() for line in event.splitlines() if line.startswith(b"data:")]
        document = read_object(b"\n".join(lines))
        if document:
            self._learn(document)
        return document

    def _shown(self, event: bytes, document: dict[str, Any]) -> list[bytes]:
        """Return what the caller sees instead of an event.

        The last piece of text waits for the usage that we asked for, which follows it immediately: if asked for usage,
        a server puts the fingerprint there only, and the caller would miss it.
        """
        before, self._kept_back = self._kept_back, []
        if isinstance(document.get("usage"), dict) and not document.get("choices"):
            fingerprint = document.get("system_fingerprint")
            return [_stamped(each, fingerprint) for each in before] if fingerprint else before
        if any(choice.get("finish_reason") for choice in _objects(document.get("choices"))):
            self._kept_back = [*before, event]
            return []
        return [*before, event]

    def _learn(self, document: dict[str, Any]) -> None:
        now = self._last = time.monotonic()
        nested = document.get("response")
        answer: dict[str, Any] = nested if isinstance(nested, dict) else document
        usage = answer.get("usage")
        self._usage = usage if isinstance(usage, dict) and usage else self._usage
        said = 0
        for choice in _objects(document.get("choices")):
            said += self._learn_choice(choice)
        if document.get("type") == "response.output_text.delta":
            said += self._append_text(0, document.get("delta"))
        elif answer.get("object") == "response":
            self._finish = _end_of(answer)
            self._texts = {0: _text_of(answer)} if answer.get("output") else self._texts
        if said:
            self._pieces += 1
            self._first = self._first or now

    def _learn_choice(self, choice: dict[str, Any]) -> int:
        index = _number(choice.get("index"), otherwise=0)
        self._finish = _text(choice.get("finish_reason")) or self._finish
        part = next((part for part in (choice.get("delta"), choice.get("message")) if part), choice)
        if not isinstance(part, dict):
            return 0
        said = self._append_text(index, part.get("content") or part.get("text") or part.get("reasoning"))
        for call in _objects(part.get("tool_calls")):
            function = next(iter(_objects([call.get("function")])), {})
            place = _number(call.get("index"), otherwise=len(self._calls))
            known = self._calls.setdefault(place, {"name": "", "arguments": ""})
            known["name"] += _text(function.get("name"))
            known["arguments"] += _text(function.get("arguments"))
            said += 1
        return said

    def _append_text(self, index: int, text: object) -> int:
        if not isinstance(text, str) or not text:
            return 0
        self._texts[index] = self._texts.get(index, "") + text
        return 1

    def _tokens(self) -> tuple[int, int]:
        """Return tokens in and out; a stream that broke off reported no usage, so its chunks are counted."""
        given = _number(self._usage.get("prompt_tokens", self._usage.get("input_tokens")), otherwise=-1)
        made = _number(self._usage.get("completion_tokens", self._usage.get("output_tokens")), otherwise=-1)
        return given, made if made >= 0 or not self._is_stream else self._pieces


def _objects(value: object) -> list[dict[str, Any]]:
    """Return the objects in a list; servers write null and other values where objects belong."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _number(value: object, *, otherwise: int) -> int:
    """Return a number that fits the column; anything else is ignored."""
    is_one = isinstance(value, int) and not isinstance(value, bool) and abs(value) < _INT64_LIMIT
    return value if is_one else otherwise  # type: ignore[return-value]


def _text(value: object) -> str:
    """Return text; other JSON as it is written, and an empty string for null."""
    return value if isinstance(value, str) else "" if value is None else written(value)


def _stamped(event: bytes, fingerprint: str) -> bytes:
    document = read_object(event.partition(b"data:")[2])
    return b"data: " + written({**document, "system_fingerprint": fingerprint}).encode() + b"\n\n"


def _text_of(answer: dict[str, Any]) -> str:
    parts = [part for item in _objects(answer["output"]) for part in _objects(item.get("content"))]
    return "".join(_text(part.get("text")) for part in parts)


def _end_of(answer: dict[str, Any]) -> str:
    """Return how a response ended, in the terms of the completions API if it was cut off."""
    details = next(iter(_objects([answer.get("incomplete_details")])), {})
    return "length" if details.get("reason") == "max_output_tokens" else _text(answer.get("status"))
