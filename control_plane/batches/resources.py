"""How batches are kept in the catalogue and shown to callers."""

import msgspec

from control_plane.batches.aggregate import Batch, BatchPhase, evolve
from control_plane.ports import Aggregate, CatalogueRow
from schemas.events.batches import BatchCompleted, BatchFile, BatchInput, BatchProblem
from schemas.identifiers import Kind


class BatchResource(msgspec.Struct, frozen=True, kw_only=True):
    """A batch as callers see it; `requests` is known once the input was found good, counts at the end."""

    id: str
    workspace: str
    phase: BatchPhase
    owner_id: str
    endpoint: str
    input: BatchInput
    scopes: tuple[str, ...]
    requests: int | None
    completed: int | None
    failed: int | None
    not_asked: int | None
    output: BatchFile | None
    errors: BatchFile | None
    problems: tuple[BatchProblem, ...]
    cancelled_because: str | None
    created_at: str
    expires_at: str
    ended_at: str | None


class BatchToken(msgspec.Struct, frozen=True, kw_only=True):
    """A token for the gateway in the name of a batch's owner."""

    token: str
    expires_at: str


def batch_resource(state: Batch) -> BatchResource:
    """Show a batch that was created."""
    created, end = state.created, state.end
    assert created
    return BatchResource(
        id=state.id,
        workspace=state.workspace,
        phase=state.phase,
        owner_id=created.owner_id,
        endpoint=created.endpoint,
        input=created.input,
        scopes=created.scopes,
        requests=state.requests,
        completed=end.completed if end else None,
        failed=end.failed if end else None,
        not_asked=None if end is None else 0 if isinstance(end, BatchCompleted) else end.not_asked,
        output=end.output if end else None,
        errors=end.errors if end else None,
        problems=state.problems,
        cancelled_because=state.cancelled_because,
        created_at=state.created_at,
        expires_at=created.expires_at,
        ended_at=state.ended_at,
    )


def _row(state: Batch) -> CatalogueRow | None:
    if state.created is None:
        return None
    return CatalogueRow(
        workspace=state.workspace,
        kind=Kind.BATCH,
        id=state.id,
        name=None,
        parent_id=state.created.owner_id,
        phase=state.phase,
        created_at=state.created_at,
        stream_version=state.stream_version,
        body=msgspec.json.encode(batch_resource(state)),
    )


BATCHES = Aggregate(kind=Kind.BATCH, body=BatchResource, initial=Batch(), evolve=evolve, row=_row)
