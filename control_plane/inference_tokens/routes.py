"""The tokens of the gateway: minted here, checked there; their keys, and what ends them early."""

from collections.abc import Callable
from typing import Any

from litestar import Request, Response, Router, get, post
from litestar.handlers import HTTPRouteHandler

from control_plane.inference_tokens import commands as bodies
from control_plane.inference_tokens import handlers
from control_plane.inference_tokens.errors import EndpointScopeUnknownError
from control_plane.inference_tokens.mint import InferenceTokenMint, KeySet, MintedToken
from control_plane.ports import Actor, EventStore
from control_plane.web.authentication import PUBLIC, Authentication, actor_of
from control_plane.web.bodies import read_body
from control_plane.web.command_runner import Commands
from infra.clock import Clock
from schemas.identifiers import Kind

AnyRequest = Request[Any, Any, Any]
RevokedSubjects = Callable[[], tuple[str, ...]]


def router(
    commands: Commands,
    authentication: Authentication,
    store: EventStore,
    *,
    mint: InferenceTokenMint,
    revoked_subjects: RevokedSubjects,
    clock: Clock,
) -> Router:
    """Build the routes; `revoked_subjects` names the principals that can no longer act."""

    @post(
        "/inference-tokens",
        guards=[authentication.at_least("viewer", or_service=True)],
        opt={"body": bodies.MintInferenceToken},
        status_code=201,
        summary="Mint a token for the gateway",
    )
    async def mint_token(request: AnyRequest) -> MintedToken:
        command, actor = await read_body(request, bodies.MintInferenceToken), actor_of(request)
        _must_exist(command.endpoints, store, actor)
        return mint.mint(actor, command.endpoints, ttl_s=command.ttl_s, now_ms=clock.now_ms())

    @get("/inference-tokens/keys", opt=PUBLIC, summary="The public keys of the gateway's tokens")
    async def keys() -> KeySet:
        return mint.key_set(revoked_subjects=revoked_subjects())

    changes = _changes(commands, authentication, mint)
    return Router(path="/v1", route_handlers=[mint_token, keys, *changes], tags=["access"])


def _changes(commands: Commands, authentication: Authentication, mint: InferenceTokenMint) -> list[HTTPRouteHandler]:
    admins = [authentication.at_least("admin")]

    @post(
        "/inference-tokens/rotate-key",
        guards=admins,
        opt={"body": bodies.RotateSigningKey, "answer": handlers.ShownKeyring},
        status_code=200,
        summary="Sign the gateway's tokens with a fresh key",
    )
    async def rotate_key(request: AnyRequest) -> Response[bytes]:
        command = await read_body(request, bodies.RotateSigningKey)
        with mint.keys.fresh() as fresh:
            return await commands.run(
                request,
                lambda unit: handlers.rotate_signing_key(unit, command, first=mint.keys.first, fresh=fresh),
            )

    @post(
        "/inference-tokens/revoke",
        guards=admins,
        opt={"body": bodies.RevokeInferenceTokens, "answer": handlers.ShownKeyring},
        status_code=200,
        summary="Refuse a token, or all of a principal, from now on",
    )
    async def revoke(request: AnyRequest) -> Response[bytes]:
        command = await read_body(request, bodies.RevokeInferenceTokens)
        return await commands.run(request, lambda unit: handlers.revoke_inference_tokens(unit, command))

    return [rotate_key, revoke]


def _must_exist(endpoints: tuple[str, ...], store: EventStore, actor: Actor) -> None:
    catalogue = store.catalogue()
    for index, name in enumerate(endpoints):
        if name != "*" and catalogue.id_of(Kind.ENDPOINT, name, workspace=actor.workspace) is None:
            raise EndpointScopeUnknownError(name, index=index)
