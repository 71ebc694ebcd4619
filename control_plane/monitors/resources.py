"""How monitors are kept in the catalogue."""

import msgspec

from control_plane.monitors.aggregate import evolve
from control_plane.ports import Aggregate, CatalogueRow
from schemas.documents.monitors import Monitor
from schemas.identifiers import Kind


def _row(state: Monitor | None) -> CatalogueRow | None:
    if state is None:
        return None
    return CatalogueRow(
        workspace=state.workspace,
        kind=Kind.MONITOR,
        id=state.id,
        name=state.name,
        parent_id=state.endpoint_id,
        phase=state.phase,
        created_at=state.created_at,
        stream_version=state.stream_version,
        body=msgspec.json.encode(state),
    )


MONITORS: Aggregate[Monitor | None] = Aggregate(
    kind=Kind.MONITOR,
    body=Monitor,
    initial=None,
    evolve=evolve,
    row=_row,
    is_followed=lambda state: state is not None,
)
