"""Rebuilds the catalogue from the log: the rows are a fold, so they can always be thrown away."""

from collections.abc import Iterable

import msgspec
import structlog

from control_plane.catalogue.kept import Kept, kept_contents, kept_stream, mark_of
from control_plane.event_store.codec import fold
from control_plane.event_store.errors import NewerEventError
from control_plane.ports import Aggregates, CatalogueRow, DocumentMark
from schemas.envelope import RecordedEvent
from schemas.identifiers import kind_of

FORMAT = "7"
"""Raised when a row writer changes what it writes, or which of its rows are documents; a store with another format
rebuilds its rows when it is opened.

Documents on `serving.state.v1` are such rows: those of another format are published again, all of them.
"""
FORMAT_PROPERTY = "catalogue_format"

_log = structlog.get_logger(__name__)


class Catalogued(msgspec.Struct, frozen=True, kw_only=True):
    """What the catalogue keeps of one stream, or of a part of one."""

    row: CatalogueRow | None
    document: DocumentMark | None


def rows_of(log: Iterable[RecordedEvent], aggregates: Aggregates) -> list[CatalogueRow]:
    """Return the rows of all streams, ordered as the catalogue orders them."""
    rows = (each.row for each in catalogued(log, aggregates))
    return sorted((row for row in rows if row is not None), key=_order)


def catalogued(log: Iterable[RecordedEvent], aggregates: Aggregates) -> list[Catalogued]:
    """Fold the whole log and return what the catalogue keeps of each stream.

    Streams of a kind without an aggregate here have nothing. A stream that a newer release went on with has the row of
    what came before: that is older than the truth, and never something that was not.
    """
    states: dict[str, object] = {}
    last: dict[str, RecordedEvent] = {}
    contents: dict[str, Catalogued] = {}
    left: set[str] = set()
    for event in log:
        stream = event.envelope.stream
        kind = kind_of(stream)
        if kind is None or kind not in aggregates or stream in left:
            continue
        aggregate = aggregates[kind]
        before = states.get(stream, aggregate.initial)
        try:
            states[stream] = fold(aggregate, before, [event.envelope])
        except NewerEventError as error:
            left.add(stream)
            _log.warning("stream_of_newer_release", stream=stream, reason=str(error))
        else:
            last[stream] = event
            for kept in kept_contents(aggregate, before, states[stream], last=event.envelope):
                contents[kept.id] = _catalogued(kept, last=event)
    streams = (
        _catalogued(kept_stream(aggregates[kind], state, stream=stream), last=last[stream])
        for stream, state in states.items()
        if (kind := kind_of(stream)) is not None
    )
    return [*streams, *contents.values()]


def differences(rebuilt: list[CatalogueRow], stored: list[CatalogueRow]) -> list[str]:
    """Name every row that the log and the catalogue do not agree on."""
    expected, found = ({_order(row): row for row in rows} for rows in (rebuilt, stored))
    return [
        f"{kind} {identifier}: {_describe_difference(expected.get(key), found.get(key))}"
        for key in sorted(expected.keys() | found.keys())
        for _, kind, identifier in [key]
        if expected.get(key) != found.get(key)
    ]


def _catalogued(kept: Kept, *, last: RecordedEvent) -> Catalogued:
    return Catalogued(row=kept.row, document=mark_of(kept, last=last.envelope, position=last.position))


def _order(row: CatalogueRow) -> tuple[str, str, str]:
    return row.workspace, str(row.kind), row.id


def _describe_difference(rebuilt: CatalogueRow | None, stored: CatalogueRow | None) -> str:
    if stored is None:
        return "the row is missing from the catalogue"
    if rebuilt is None:
        return "the log does not contain the row"
    names = [name for name in msgspec.structs.asdict(rebuilt) if getattr(rebuilt, name) != getattr(stored, name)]
    return f"{', '.join(names)} differ"
