"""How batches are kept in the catalogue and shown to callers."""

import msgspec

from control_plane.batches.aggregate import BatchState, evolve
from control_plane.ports import Aggregate, CatalogueRow
from schemas.documents.batches import Batch
from schemas.identifiers import Kind


class BatchToken(msgspec.Struct, frozen=True, kw_only=True):
    """A token for the gateway in the name of a batch's owner."""

    token: str
    expires_at: str


def batch_document(state: BatchState) -> Batch:
    """Leave out where the stream is."""
    return msgspec.convert(state, Batch, from_attributes=True)


def _row(state: BatchState | None) -> CatalogueRow | None:
    if state is None:
        return None
    return CatalogueRow(
        workspace=state.workspace,
        kind=Kind.BATCH,
        id=state.id,
        name=None,
        parent_id=state.owner_id,
        phase=state.phase,
        created_at=state.created_at,
        stream_version=state.stream_version,
        body=msgspec.json.encode(batch_document(state)),
    )


BATCHES: Aggregate[BatchState | None] = Aggregate(kind=Kind.BATCH, body=Batch, initial=None, evolve=evolve, row=_row)
