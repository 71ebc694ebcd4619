from types import SimpleNamespace

import msgspec
import pytest

from control_plane.event_store.codec import EventFrame, encode_event
from control_plane.log.ports import LoggedDocument, LoggedEvent
from control_plane.relay.record import PoisonRecordError, TopicRecord, from_record, to_document_record, to_record
from schemas.documents.records import NotARecordError, Removed, StateRecord, decode
from schemas.envelope import encode
from schemas.events.registry import VersionNumberAssigned
from tests.support.store import context, model_id

FRAME = EventFrame(context=context(), stream=model_id(1), time="2026-01-02T03:04:05.678Z")
ENVELOPE = encode_event(VersionNumberAssigned(version_id="version-1", number=1), FRAME, version=3, event_id="event-1")
EVENT = LoggedEvent(17, ENVELOPE.stream, 3, ENVELOPE.type, encode(ENVELOPE))


def _consumed(record: TopicRecord, **changes: object) -> SimpleNamespace:
    return SimpleNamespace(
        **{"offset": 5, "key": record.key, "value": record.value, "headers": record.headers, **changes}
    )


def test_the_value_is_the_canonical_bytes_and_the_headers_copy_them() -> None:
    record = to_record(EVENT)
    headers = dict(record.headers)

    assert (record.key, record.value) == (EVENT.stream.encode(), EVENT.canonical)
    assert headers["content-type"] == b"application/cloudevents+json; charset=UTF-8"
    assert (headers["position"], headers["ce_streamversion"]) == (b"17", b"3")
    assert (headers["ce_id"], headers["ce_type"]) == (b"event-1", b"registry.VersionNumberAssigned.v1")
    assert (headers["ce_time"], headers["ce_workspace"]) == (b"2026-01-02T03:04:05.678Z", b"default")


def test_an_event_is_read_back_from_its_record() -> None:
    assert from_record(_consumed(to_record(EVENT))) == EVENT


@pytest.mark.parametrize(
    "changes", [{"headers": []}, {"headers": [("position", b"x")]}, {"key": None}, {"value": None}]
)
def test_a_record_that_no_relay_wrote_is_told(changes: dict[str, object]) -> None:
    with pytest.raises(PoisonRecordError, match="offset 5"):
        from_record(_consumed(to_record(EVENT), **changes))


def test_bytes_that_are_no_event_make_no_record() -> None:
    with pytest.raises(msgspec.DecodeError):
        to_record(LoggedEvent(17, ENVELOPE.stream, 3, ENVELOPE.type, b"{}"))


DOCUMENT = LoggedDocument(
    kind="model",
    id="model-1",
    workspace="default",
    position=17,
    event_id="event-1",
    is_removed=False,
    stream_version=3,
    body=b'{"id":"model-1"}',
)


def test_a_document_is_read_back_from_its_record() -> None:
    record = to_document_record(DOCUMENT, document_format="9")

    assert (record.key, dict(record.headers)) == (
        b"model-1",
        {"position": b"17", "event_id": b"event-1", "format": b"9"},
    )
    assert decode(_consumed(record)) == StateRecord(
        kind="model",
        id="model-1",
        workspace="default",
        stream_version=3,
        position=17,
        event_id="event-1",
        document=msgspec.Raw(DOCUMENT.body),
    )


def test_a_removed_document_is_a_record_without_a_value() -> None:
    record = to_document_record(msgspec.structs.replace(DOCUMENT, is_removed=True), document_format="9")

    assert record.value is None
    assert decode(_consumed(record)) == Removed(id="model-1", position=17)


@pytest.mark.parametrize("changes", [{"value": b"{"}, {"value": b"{}"}, {"value": None, "headers": []}])
def test_a_record_that_is_no_document_is_told(changes: dict[str, object]) -> None:
    with pytest.raises(NotARecordError, match="model-1"):
        decode(_consumed(to_document_record(DOCUMENT, document_format="9"), **changes))
