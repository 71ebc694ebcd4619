"""How events and documents are stored in their topics: keys, values, and headers that only copy."""

from typing import Any, Protocol

import msgspec

from control_plane.log.ports import LoggedDocument, LoggedEvent
from schemas.documents import records
from schemas.documents.records import StateRecord
from schemas.documents.shared import shared
from schemas.envelope import decode

POSITION = "position"
CONTENT_TYPE = ("content-type", b"application/cloudevents+json; charset=UTF-8")


class PoisonRecordError(Exception):
    """A record of the topic was not written by a relay: it lacks what the log is rebuilt from."""


class ConsumedRecord(Protocol):
    """What is used of a record that aiokafka returns."""

    offset: int
    key: bytes | None
    value: bytes | None
    headers: Any


class TopicRecord(msgspec.Struct, frozen=True):
    """One message, of `registry.events.v1` or of `serving.state.v1`; without a value, it removes what its key names."""

    key: bytes
    value: bytes | None
    headers: list[tuple[str, bytes]]


def to_record(event: LoggedEvent) -> TopicRecord:
    """Return the message of an event.

    Raises:
        msgspec.DecodeError: the stored bytes are not an envelope.
    """
    envelope = decode(event.canonical)
    copied = {
        "ce_specversion": envelope.specversion,
        "ce_type": envelope.type,
        "ce_source": envelope.source,
        "ce_id": envelope.id,
        "ce_time": envelope.time,
        "ce_subject": envelope.stream,
        "ce_workspace": envelope.workspace,
        "ce_streamversion": envelope.streamversion,
        POSITION: event.position,
    }
    headers = [CONTENT_TYPE, *((name, str(value).encode()) for name, value in copied.items())]
    return TopicRecord(key=event.stream.encode(), value=event.canonical, headers=headers)


def to_document_record(document: LoggedDocument, *, document_format: str) -> TopicRecord:
    """Return the message of a document, or of its removal."""
    copied = {
        records.POSITION: document.position,
        records.EVENT_ID: document.event_id,
        records.FORMAT: document_format,
    }
    headers = [(name, str(value).encode()) for name, value in copied.items()]
    if document.is_removed:
        return TopicRecord(key=document.id.encode(), value=None, headers=headers)
    body = msgspec.Raw(document.body)
    record = StateRecord(
        **shared(document, records.DocumentBase), stream_version=document.stream_version, document=body
    )
    return TopicRecord(key=document.id.encode(), value=msgspec.json.encode(record), headers=headers)


def from_record(record: ConsumedRecord) -> LoggedEvent:
    """Read the event back from its message.

    Raises:
        PoisonRecordError: a part is missing.
    """
    headers = {name: value.decode() for name, value in record.headers}
    try:
        position, version, type_name = int(headers[POSITION]), int(headers["ce_streamversion"]), headers["ce_type"]
    except (KeyError, ValueError) as error:
        raise PoisonRecordError(
            f"the record at offset {record.offset} has a missing or invalid header {error}"
        ) from error
    if record.key is None or record.value is None:
        raise PoisonRecordError(f"the record at offset {record.offset} has no key or no value")
    return LoggedEvent(position, record.key.decode(), version, type_name, record.value)


def position_of(record: ConsumedRecord) -> int:
    return from_record(record).position
