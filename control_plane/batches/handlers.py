"""One function a command: load, decide, append, answer. The rules are in the aggregate."""

from collections.abc import Callable, Sequence

import msgspec

from control_plane.batches import aggregate
from control_plane.batches.aggregate import BatchState
from control_plane.batches.commands import CancelBatch, CreateBatch, FailBatch, FinishBatch, StartBatch
from control_plane.batches.errors import (
    BatchFinishedError,
    BatchIdTakenError,
    BatchNotFoundError,
    BatchOwnerMayNotActError,
    BatchOwnerUnknownError,
)
from control_plane.batches.resources import BATCHES, batch_document
from control_plane.ports import Catalogue, Reply, UnitOfWork
from schemas.documents.batches import Batch
from schemas.identifiers import Kind, kind_of

_OK, _CREATED = 200, 201


def create_batch(unit: UnitOfWork, command: CreateBatch) -> Reply:
    """Begin a batch for a principal of the workspace."""
    if kind_of(command.batch_id) is not Kind.BATCH:
        raise BatchIdTakenError(command.batch_id)
    if unit.catalogue.get(Kind.PRINCIPAL, command.owner_id, workspace=unit.actor.workspace) is None:
        raise BatchOwnerUnknownError(command.owner_id)
    before = unit.load(BATCHES, command.batch_id)
    events = aggregate.create(before.state, command, now_ms=unit.now_ms)
    return _appended(unit, command.batch_id, events, expected_version=before.version, status=_CREATED)


def start_batch(unit: UnitOfWork, batch_id: str, command: StartBatch) -> Reply:
    """Note how many requests there are."""
    return _decided(unit, batch_id, lambda state: aggregate.start(state, command))


def fail_batch(unit: UnitOfWork, batch_id: str, command: FailBatch) -> Reply:
    """Record that there are none."""
    return _decided(unit, batch_id, lambda state: aggregate.fail(state, command))


def cancel_batch(unit: UnitOfWork, batch_id: str, command: CancelBatch) -> Reply:
    """Request the cancellation of a batch."""
    return _decided(unit, batch_id, lambda state: aggregate.cancel(state, command))


def finish_batch(unit: UnitOfWork, batch_id: str, command: FinishBatch) -> Reply:
    """End it."""
    return _decided(unit, batch_id, lambda state: aggregate.finish(state, command, now_ms=unit.now_ms))


def batch_to_act_for(
    catalogue: Catalogue, batch_id: str, *, workspace: str, revoked: Sequence[str]
) -> tuple[str, tuple[str, ...]]:
    """Return the owner and the scopes of a batch that is open.

    Raises:
        BatchNotFoundError: there is no such batch.
        BatchFinishedError: it has already ended.
        BatchOwnerMayNotActError: its owner may no longer act.
    """
    row = catalogue.get(Kind.BATCH, batch_id, workspace=workspace)
    if row is None:
        raise BatchNotFoundError(batch_id)
    batch = msgspec.json.decode(row.body, type=Batch)
    if batch.phase not in ("validating", "in_progress", "cancelling"):
        raise BatchFinishedError(batch_id, batch.phase)
    if batch.owner_id in revoked:
        raise BatchOwnerMayNotActError(batch.owner_id)
    return batch.owner_id, batch.scopes


def _decided(unit: UnitOfWork, batch_id: str, decide: Callable[[BatchState], Sequence[msgspec.Struct]]) -> Reply:
    before = unit.load(BATCHES, batch_id)
    if before.state is None:
        raise BatchNotFoundError(batch_id)
    return _appended(unit, batch_id, decide(before.state), expected_version=before.version, status=_OK)


def _appended(
    unit: UnitOfWork, batch_id: str, events: Sequence[msgspec.Struct], *, expected_version: int, status: int
) -> Reply:
    after = unit.append(BATCHES, batch_id, expected_version=expected_version, events=events)
    assert after.state is not None, "the first event creates the batch"
    body = msgspec.json.encode(batch_document(after.state))
    return Reply(status=status, body=body, stream_version=after.version)
