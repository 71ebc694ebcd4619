"""The operations on what the log knows of batches. Files and lines are the batch server's."""

from functools import partial

import msgspec

from control_plane.batches import commands, errors, handlers
from control_plane.batches.ports import RevokedSubjects, TokenMint
from control_plane.batches.resources import BatchToken
from control_plane.ports import Actor, EventStore
from control_plane.web.listing import Page, Paging, page
from infra.clock import Clock
from infra.operations import (
    BATCHES,
    OPERATORS_AND_SERVICES,
    READERS,
    SERVICES,
    Caller,
    Command,
    Content,
    Operation,
    Operations,
    Question,
)
from schemas.documents.batches import Batch
from schemas.identifiers import Kind

_CREATED = 201
_OPEN = (errors.BatchNotFoundError, errors.BatchFinishedError)


class FindBatches(Paging, frozen=True, kw_only=True):
    """Those in a phase, or all."""

    phase: str = ""


def operations(store: EventStore, mint: TokenMint, *, revoked_subjects: RevokedSubjects, clock: Clock) -> Operations:
    """Declare them; `revoked_subjects` names the principals that can no longer act."""
    return Operations("batches", [*_life(), *_ends(), _token(store, mint, revoked_subjects, clock), *_questions(store)])


def find_batches(store: EventStore, caller: Caller, asked: FindBatches) -> Page[Batch]:
    """Return a page of batches."""
    phases = (asked.phase,) if asked.phase else ()
    rows = store.catalogue().find(
        Kind.BATCH, workspace=caller.workspace, phases=phases, after_id=asked.cursor, limit=asked.size
    )
    return page([msgspec.json.decode(row.body, type=Batch) for row in rows], asked)


def show_batch(store: EventStore, caller: Caller, batch_id: str) -> Content:
    """Return one batch."""
    row = store.catalogue().get(Kind.BATCH, batch_id, workspace=caller.workspace)
    if row is None:
        raise errors.BatchNotFoundError(batch_id)
    return Content(body=row.body, version=row.stream_version)


def mint_batch_token(  # noqa: PLR0913, PLR0917  the first four are what it stands on, bound once
    store: EventStore,
    mint: TokenMint,
    revoked: RevokedSubjects,
    clock: Clock,
    caller: Caller,
    batch_id: str,
    command: commands.MintBatchToken,
) -> BatchToken:
    """Mint a token in the name of the batch's owner."""
    owner_id, scopes = handlers.batch_to_act_for(
        store.catalogue(), batch_id, workspace=caller.workspace, revoked=revoked()
    )
    owner = Actor(principal_id=owner_id, role="viewer", workspace=caller.workspace)
    minted = mint.mint(owner, scopes, ttl_s=command.ttl_s, now_ms=clock.now_ms())
    return BatchToken(token=minted.token, expires_at=minted.expires_at)


def _life() -> list[Operation]:
    return [
        Command(
            method="POST",
            path="/v1/batches",
            handler=handlers.create_batch,
            asks=commands.CreateBatch,
            answers=Batch,
            status=_CREATED,
            roles=SERVICES,
            duties=BATCHES,
            is_for_installation=True,
            summary="Create a batch for the holder of an inference token",
            errors=(errors.BatchIdTakenError, errors.BatchOwnerUnknownError),
        ),
        Command(
            method="POST",
            path="/v1/batches/{batch_id}/start",
            handler=handlers.start_batch,
            asks=commands.StartBatch,
            answers=Batch,
            roles=SERVICES,
            duties=BATCHES,
            is_for_installation=True,
            summary="Start a batch whose input is valid",
            errors=(*_OPEN, errors.BatchCountsError),
        ),
    ]


def _ends() -> list[Operation]:
    return [
        Command(
            method="POST",
            path="/v1/batches/{batch_id}/fail",
            handler=handlers.fail_batch,
            asks=commands.FailBatch,
            answers=Batch,
            roles=SERVICES,
            duties=BATCHES,
            is_for_installation=True,
            is_for_closed=True,
            summary="Fail a batch whose input is invalid",
            errors=(*_OPEN, errors.BatchCountsError),
        ),
        Command(
            method="POST",
            path="/v1/batches/{batch_id}/cancel",
            handler=handlers.cancel_batch,
            sdk="batches.cancel",
            asks=commands.CancelBatch,
            answers=Batch,
            roles=OPERATORS_AND_SERVICES,
            duties=BATCHES,
            is_for_closed=True,
            summary="Request the cancellation of a batch",
            errors=_OPEN,
        ),
        Command(
            method="POST",
            path="/v1/batches/{batch_id}/finish",
            handler=handlers.finish_batch,
            asks=commands.FinishBatch,
            answers=Batch,
            roles=SERVICES,
            duties=BATCHES,
            is_for_installation=True,
            is_for_closed=True,
            summary="Finish a batch with the outcome of all its requests",
            errors=(
                *_OPEN,
                errors.BatchNotStartedError,
                errors.BatchUnfinishedError,
                errors.BatchCountsError,
            ),
        ),
    ]


def _token(store: EventStore, mint: TokenMint, revoked: RevokedSubjects, clock: Clock) -> Operation:
    return Question(
        method="POST",
        path="/v1/batches/{batch_id}/token",
        handler=partial(mint_batch_token, store, mint, revoked, clock),
        asks=commands.MintBatchToken,
        answers=BatchToken,
        status=_CREATED,
        roles=SERVICES,
        duties=BATCHES,
        is_for_installation=True,
        summary="Mint an inference token on behalf of a batch's owner",
        errors=(*_OPEN, errors.BatchOwnerMayNotActError),
    )


def _questions(store: EventStore) -> list[Operation]:
    return [
        Question(
            method="GET",
            path="/v1/batches",
            handler=partial(find_batches, store),
            sdk="batches.list",
            asks=FindBatches,
            answers=Page[Batch],
            roles=READERS,
            summary="List the batches, oldest first",
        ),
        Question(
            method="GET",
            path="/v1/batches/{batch_id}",
            handler=partial(show_batch, store),
            sdk="batches.get",
            answers=Batch,
            is_tagged=True,
            roles=READERS,
            duties=BATCHES,
            summary="Get a batch by its id",
            errors=(errors.BatchNotFoundError,),
        ),
    ]
