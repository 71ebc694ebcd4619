"""/v1/batches of the control plane: what the log knows of them. Files and lines are the batch server's."""

from typing import Any

import msgspec
from litestar import MediaType, Request, Response, Router, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, FromQuery

from control_plane.batches import handlers
from control_plane.batches.commands import (
    CancelBatch,
    CreateBatch,
    FailBatch,
    FinishBatch,
    MintBatchToken,
    StartBatch,
)
from control_plane.batches.errors import BatchNotFoundError
from control_plane.batches.ports import RevokedSubjects, TokenMint
from control_plane.batches.resources import BatchResource, BatchToken
from control_plane.ports import Actor, EventStore
from control_plane.web.authentication import Authentication, actor_of
from control_plane.web.bodies import read_body
from control_plane.web.command_runner import Commands
from control_plane.web.listing import USUAL_ITEMS, Page, page_size
from infra.clock import Clock
from schemas.identifiers import Kind

AnyRequest = Request[Any, Any, Any]


def router(
    commands: Commands,
    authentication: Authentication,
    store: EventStore,
    *,
    mint: TokenMint,
    revoked_subjects: RevokedSubjects,
    clock: Clock,
) -> Router:
    """Build the routes; `revoked_subjects` names the principals that can no longer act."""
    return Router(
        path="/v1",
        route_handlers=[
            *_life(commands, authentication),
            *_ends(commands, authentication),
            _token(authentication, store, mint, revoked_subjects, clock),
            *_questions(store, authentication),
        ],
        tags=["batches"],
    )


def _life(commands: Commands, authentication: Authentication) -> list[HTTPRouteHandler]:
    guards = [authentication.service()]

    @post(
        "/batches",
        guards=guards,
        opt={"body": CreateBatch, "answer": BatchResource},
        summary="Begin a batch for the holder of an inference token",
    )
    async def create_batch(request: AnyRequest) -> Response[bytes]:
        command = await read_body(request, CreateBatch)
        return await commands.run(request, lambda unit: handlers.create_batch(unit, command))

    @post(
        "/batches/{batch_id:str}/start",
        guards=guards,
        opt={"body": StartBatch, "answer": BatchResource},
        summary="A batch's input is good",
        status_code=200,
    )
    async def start_batch(request: AnyRequest, batch_id: FromPath[str]) -> Response[bytes]:
        command = await read_body(request, StartBatch)
        return await commands.run(request, lambda unit: handlers.start_batch(unit, batch_id, command))

    return [create_batch, start_batch]


def _ends(commands: Commands, authentication: Authentication) -> list[HTTPRouteHandler]:
    @post(
        "/batches/{batch_id:str}/fail",
        guards=[authentication.service()],
        opt={"body": FailBatch, "answer": BatchResource},
        summary="A batch's input can't be run",
        status_code=200,
    )
    async def fail_batch(request: AnyRequest, batch_id: FromPath[str]) -> Response[bytes]:
        command = await read_body(request, FailBatch)
        return await commands.run(request, lambda unit: handlers.fail_batch(unit, batch_id, command))

    @post(
        "/batches/{batch_id:str}/cancel",
        guards=[authentication.at_least("operator", or_service=True)],
        opt={"body": CancelBatch, "answer": BatchResource},
        summary="Ask for the end of a batch",
        status_code=200,
    )
    async def cancel_batch(request: AnyRequest, batch_id: FromPath[str]) -> Response[bytes]:
        command = await read_body(request, CancelBatch)
        return await commands.run(request, lambda unit: handlers.cancel_batch(unit, batch_id, command))

    @post(
        "/batches/{batch_id:str}/finish",
        guards=[authentication.service()],
        opt={"body": FinishBatch, "answer": BatchResource},
        summary="What came of all requests of a batch",
        status_code=200,
    )
    async def finish_batch(request: AnyRequest, batch_id: FromPath[str]) -> Response[bytes]:
        command = await read_body(request, FinishBatch)
        return await commands.run(request, lambda unit: handlers.finish_batch(unit, batch_id, command))

    return [fail_batch, cancel_batch, finish_batch]


def _token(
    authentication: Authentication, store: EventStore, mint: TokenMint, revoked: RevokedSubjects, clock: Clock
) -> HTTPRouteHandler:
    @post(
        "/batches/{batch_id:str}/token",
        guards=[authentication.service()],
        opt={"body": MintBatchToken},
        summary="Mint a token for the gateway in the name of a batch's owner",
        status_code=201,
    )
    async def mint_token(request: AnyRequest, batch_id: FromPath[str]) -> BatchToken:
        command, actor = await read_body(request, MintBatchToken), actor_of(request)
        owner_id, scopes = handlers.batch_to_act_for(
            store.catalogue(), batch_id, workspace=actor.workspace, revoked=revoked()
        )
        owner = Actor(principal_id=owner_id, role="viewer", workspace=actor.workspace)
        minted = mint.mint(owner, scopes, ttl_s=command.ttl_s, now_ms=clock.now_ms())
        return BatchToken(token=minted.token, expires_at=minted.expires_at)

    return mint_token


def _questions(store: EventStore, authentication: Authentication) -> list[HTTPRouteHandler]:
    guards = [authentication.at_least("viewer", or_service=True)]

    @get("/batches", guards=guards, summary="The batches, in the order they were made", sync_to_thread=True)
    def find_batches(
        request: AnyRequest,
        phase: FromQuery[str] = "",
        cursor: FromQuery[str] = "",
        limit: FromQuery[int] = USUAL_ITEMS,
    ) -> Page[BatchResource]:
        most, workspace = page_size(limit), actor_of(request).workspace
        phases = (phase,) if phase else ()
        rows = store.catalogue().find(Kind.BATCH, workspace=workspace, phases=phases, after_id=cursor, limit=most)
        items = [msgspec.json.decode(row.body, type=BatchResource) for row in rows]
        return Page(items=items, next=rows[-1].id if len(rows) == most else None)

    @get(
        "/batches/{batch_id:str}",
        guards=guards,
        opt={"answer": BatchResource},
        summary="One batch by its id",
        sync_to_thread=True,
    )
    def show_batch(request: AnyRequest, batch_id: FromPath[str]) -> Response[bytes]:
        row = store.catalogue().get(Kind.BATCH, batch_id, workspace=actor_of(request).workspace)
        if row is None:
            raise BatchNotFoundError(batch_id)
        return Response(row.body, media_type=MediaType.JSON, headers={"etag": f'"{row.stream_version}"'})

    return [find_batches, show_batch]
