"""A record of `serving.state.v1`: the current document of one thing, and the event that made it what it is."""

from typing import Any, Protocol

import msgspec

POSITION, EVENT_ID, FORMAT, OFFSET = "position", "event_id", "format", "offset"
"""The headers of a record. `offset` is where its relay wrote it, which shows a topic that was made anew meanwhile."""


class DocumentBase(msgspec.Struct, frozen=True, kw_only=True):
    """Which document it is, and which event made it what it is; `position` is that of the event in the log."""

    kind: str
    id: str
    workspace: str
    position: int
    event_id: str


class StateRecord(DocumentBase, frozen=True, kw_only=True):
    """One document. `stream_version` is that of its last event in its stream.

    `document` is the JSON of the struct that `schemas.documents.kinds` gives for `kind`.
    """

    stream_version: int
    document: msgspec.Raw


class Removed(msgspec.Struct, frozen=True, kw_only=True):
    """Stands in the place of a document that is no longer there; on the topic, a record without a value."""

    id: str
    position: int


class ConsumedRecord(Protocol):
    """What is used of a record that a Kafka client returns."""

    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Any: ...  # noqa: ANN401  pairs of name and bytes; aiokafka has no annotations


class NotARecordError(ValueError):
    """A record was not written by a relay."""


def decode(record: ConsumedRecord) -> StateRecord | Removed:
    """Read a record of the topic.

    Raises:
        NotARecordError: the key, the position or the value is not one of a document.
    """
    try:
        if record.value is not None:
            # A part that nobody has decoded yet may still not be text.
            record.value.decode()
            return msgspec.json.decode(record.value, type=StateRecord)
        return Removed(id=(record.key or b"").decode(), position=int(dict(record.headers)[POSITION]))
    except (msgspec.DecodeError, KeyError, ValueError, RecursionError) as error:
        raise NotARecordError(f"a record of key {record.key!r} is no document: {error}") from error
