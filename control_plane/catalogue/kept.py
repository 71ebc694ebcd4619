"""What the catalogue keeps of a stream after its last event: a row for it and for each of its parts, and documents."""

from collections.abc import Iterator
from typing import Any

import msgspec

from control_plane.ports import Aggregate, CatalogueRow, Content, DocumentMark, State
from schemas.envelope import Envelope
from schemas.identifiers import Kind


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A row to put, or None for one to remove; `is_document` says whether programs follow it, None of what never is."""

    kind: Kind
    id: str
    row: CatalogueRow | None
    is_document: bool | None


def kept_stream(aggregate: Aggregate[State], state: State, *, stream: str) -> Kept:
    """Return what is kept of the stream itself."""
    row = aggregate.row(state)
    is_document = None if aggregate.is_followed is None else row is not None and aggregate.is_followed(state)
    return Kept(kind=aggregate.kind, id=stream, row=row, is_document=is_document)


def kept_contents(aggregate: Aggregate[State], before: State, after: State, *, last: Envelope) -> Iterator[Kept]:
    """Yield what is kept of the parts that a stream's events, up to the last of them, brought and took away."""
    old, new = _contents(aggregate, before), _contents(aggregate, after)
    for content in new.values():
        if content.id not in old:
            yield Kept(kind=content.kind, id=content.id, row=_content_row(content, last), is_document=True)
    for content in old.values():
        if content.id not in new:
            yield Kept(kind=content.kind, id=content.id, row=None, is_document=False)


def mark_of(kept: Kept, *, last: Envelope, position: int) -> DocumentMark | None:
    """Return the mark of a document after the event that made it so, which is at a position; None of what is none."""
    if kept.is_document is None:
        return None
    return DocumentMark(
        workspace=last.workspace,
        kind=kept.kind,
        id=kept.id,
        position=position,
        event_id=last.id,
        is_removed=not kept.is_document,
    )


def _contents(aggregate: Aggregate[Any], state: object) -> dict[str, Content]:
    return {content.id: content for content in aggregate.contents(state)} if aggregate.contents else {}


def _content_row(content: Content, last: Envelope) -> CatalogueRow:
    return CatalogueRow(
        workspace=last.workspace,
        kind=content.kind,
        id=content.id,
        name=None,
        parent_id=last.stream,
        created_at=last.time,
        stream_version=last.streamversion,
        body=content.body,
    )
