"""Answers from another deployment's engine, rewritten so that they name this model and deployment."""

from collections.abc import AsyncIterator, Mapping

import msgspec

_DATA = b"data:"
_END = b"\n\n"
_EVENTS = "text/event-stream"


class Rewording:
    """Replaces fields in an answer's JSON, or in each event of a stream."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        self._fields = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in fields.items()}

    async def of(self, chunks: AsyncIterator[bytes], *, content_type: str) -> AsyncIterator[bytes]:
        """Yield the answer; anything but a JSON object stays unchanged."""
        held = b""
        is_stream = content_type.startswith(_EVENTS)
        async for chunk in chunks:
            held += chunk
            if is_stream:
                *events, held = held.split(_END)
                if events:
                    yield b"".join(self._event(event) + _END for event in events)
        if held:
            yield self._event(held) if is_stream else self._document(held)

    def _event(self, event: bytes) -> bytes:
        if not event.startswith(_DATA):
            return event
        return _DATA + b" " + self._document(event[len(_DATA) :].strip())

    def _document(self, content: bytes) -> bytes:
        try:
            fields = msgspec.json.decode(content, type=dict[str, msgspec.Raw])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return content
        return msgspec.json.encode({name: self._fields.get(name, value) for name, value in fields.items()})
