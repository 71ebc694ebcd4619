"""The documents that a log leaves, one after another, as the relay of a store publishes them."""

from collections.abc import Iterable, Iterator
from typing import TypedDict

import msgspec

from control_plane.catalogue.kept import Kept, kept_contents, kept_stream
from control_plane.declared import AGGREGATES
from control_plane.event_store.codec import fold
from control_plane.event_store.errors import NewerEventError
from control_plane.ports import CatalogueRow
from schemas.documents.kinds import DOCUMENTS
from schemas.documents.records import POSITION, Removed, StateRecord
from schemas.envelope import Envelope
from schemas.identifiers import Kind


class DocumentsOfLog:
    """Folds events with the aggregates of the write side; ids need only begin with their kind."""

    def __init__(self) -> None:
        self._states: dict[str, object] = {}
        self._left: set[str] = set()
        self._last: dict[str, StateRecord | Removed] = {}

    def current(self) -> tuple[StateRecord | Removed, ...]:
        """Return the last record of each, in the order of their events."""
        return tuple(sorted(self._last.values(), key=lambda record: (record.position, record.id)))

    def after(self, envelope: Envelope, *, position: int) -> Iterator[StateRecord | Removed]:
        """Yield the document that an event leaves, where its stream has one that programs follow."""
        for record in self._after(envelope, position=position):
            self._last[record.id] = record
            yield record

    def _after(self, envelope: Envelope, *, position: int) -> Iterator[StateRecord | Removed]:
        stream = str(envelope.stream)
        aggregate = AGGREGATES.get(Kind(stream.partition("-")[0]))
        if aggregate is None or aggregate.is_followed is None or stream in self._left:
            return
        before = self._states.get(stream, aggregate.initial)
        try:
            state = fold(aggregate, before, [envelope])
        except NewerEventError:
            self._left.add(stream)
            return
        self._states[stream] = state
        for kept in kept_contents(aggregate, before, state, last=envelope):
            yield _record(kept, last=envelope, position=position)
        yield _record(kept_stream(aggregate, state, stream=stream), last=envelope, position=position)


def _record(kept: Kept, *, last: Envelope, position: int) -> StateRecord | Removed:
    if kept.row is None or not kept.is_document:
        return Removed(id=kept.id, position=position)
    return StateRecord(
        kind=str(kept.kind),
        id=kept.id,
        workspace=last.workspace,
        stream_version=last.streamversion,
        position=position,
        event_id=last.id,
        document=msgspec.Raw(kept.row.body),
    )


def documents_of(rows: Iterable[CatalogueRow]) -> list[StateRecord]:
    """Return the documents among the rows of a catalogue; all of one position, as rows know none."""
    return [
        StateRecord(
            kind=str(row.kind),
            id=row.id,
            workspace=row.workspace,
            stream_version=row.stream_version,
            position=1,
            event_id="event-1",
            document=msgspec.Raw(row.body),
        )
        for row in rows
        if row.kind in DOCUMENTS
    ]


class Message(TypedDict):
    """What of a record is given to a producer, its key aside."""

    value: bytes | None
    headers: list[tuple[str, bytes]]


def message_of(record: StateRecord | Removed) -> Message:
    """Return a record as a relay publishes it."""
    headers = [(POSITION, str(record.position).encode())]
    value = None if isinstance(record, Removed) else msgspec.json.encode(record)
    return Message(value=value, headers=headers)
