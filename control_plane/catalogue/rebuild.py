"""Rebuilds the catalogue from the log: the rows are a fold, so they can always be thrown away."""

from collections.abc import Iterable

import msgspec
import structlog

from control_plane.event_store.codec import fold
from control_plane.event_store.errors import NewerEventError
from control_plane.ports import Aggregates, CatalogueRow
from schemas.envelope import RecordedEvent
from schemas.identifiers import kind_of

FORMAT = "2"
"""Raised when a row writer changes what it writes; a store with another format rebuilds its rows when it is opened."""


_log = structlog.get_logger(__name__)


def rows_of(log: Iterable[RecordedEvent], aggregates: Aggregates) -> list[CatalogueRow]:
    """Fold the whole log and return the rows of all streams, ordered as the catalogue orders them.

    Streams of a kind without an aggregate here have no rows. A stream that a newer release went on with has the row of
    what came before: that is older than the truth, and never something that was not.
    """
    states: dict[str, object] = {}
    left: set[str] = set()
    for event in log:
        stream = event.envelope.stream
        kind = kind_of(stream)
        if kind is None or kind not in aggregates or stream in left:
            continue
        aggregate = aggregates[kind]
        try:
            states[stream] = fold(aggregate, states.get(stream, aggregate.initial), [event.envelope])
        except NewerEventError as error:
            left.add(stream)
            _log.warning("stream_of_newer_release", stream=stream, reason=str(error))
    rows = [aggregates[kind].row(state) for stream, state in states.items() if (kind := kind_of(stream)) is not None]
    return sorted((row for row in rows if row is not None), key=_order)


def differences(rebuilt: list[CatalogueRow], stored: list[CatalogueRow]) -> list[str]:
    """Name every row that the log and the catalogue do not agree on."""
    expected, found = ({_order(row): row for row in rows} for rows in (rebuilt, stored))
    return [
        f"{kind} {identifier}: {_describe_difference(expected.get(key), found.get(key))}"
        for key in sorted(expected.keys() | found.keys())
        for _, kind, identifier in [key]
        if expected.get(key) != found.get(key)
    ]


def _order(row: CatalogueRow) -> tuple[str, str, str]:
    return row.workspace, str(row.kind), row.id


def _describe_difference(rebuilt: CatalogueRow | None, stored: CatalogueRow | None) -> str:
    if stored is None:
        return "the row is missing from the catalogue"
    if rebuilt is None:
        return "the log does not contain the row"
    names = [name for name in msgspec.structs.asdict(rebuilt) if getattr(rebuilt, name) != getattr(stored, name)]
    return f"{', '.join(names)} differ"
