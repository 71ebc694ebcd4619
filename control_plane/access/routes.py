"""Principals and their tokens."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from litestar import Request, Response, Router, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from control_plane.access import commands as bodies
from control_plane.access import handlers
from control_plane.access.aggregate import Principal
from control_plane.access.tokens import TokenIndex, principals_in
from control_plane.ports import EventStore
from control_plane.web.authentication import Authentication, RoleGuard, actor_of
from control_plane.web.bodies import decode_body, read_body
from control_plane.web.command_runner import Action, Commands, expected_version
from control_plane.web.listing import Page

AnyRequest = Request[Any, Any, Any]
Change = Callable[[AnyRequest, Action], Awaitable[Response[bytes]]]
Guards = list[RoleGuard]


class ShownToken(msgspec.Struct, frozen=True, kw_only=True):
    """A token without what makes it one."""

    id: str
    expires_at: str | None
    is_revoked: bool


class ShownPrincipal(msgspec.Struct, frozen=True, kw_only=True):
    """A principal as admins see it; name and e-mail are null once erased."""

    id: str
    kind: str
    role: str
    name: str | None
    email: str | None
    is_erased: bool
    tokens: tuple[ShownToken, ...]
    created_at: str


def principals_router(
    commands: Commands, authentication: Authentication, store: EventStore, tokens: TokenIndex
) -> Router:
    """Build the routes of principals; all are for admins."""
    admins = [authentication.at_least("admin")]

    async def change(request: AnyRequest, action: Action) -> Response[bytes]:
        answer = await commands.run(request, action)
        tokens.refresh()
        return answer

    routes = [*_person_routes(change, admins, store), *_token_routes(change, admins)]
    return Router(path="/v1", route_handlers=routes, tags=["access"])


def _person_routes(change: Change, admins: Guards, store: EventStore) -> list[HTTPRouteHandler]:
    @post("/principals", guards=admins, opt={"body": bodies.RegisterPrincipal}, summary="Let a person or program in")
    async def register(request: AnyRequest) -> Response[bytes]:
        command, token = await read_body(request, bodies.RegisterPrincipal), handlers.fresh_token()
        seen = expected_version(request)
        return await change(
            request, lambda unit: handlers.register_principal(unit, command, token=token, expected_version=seen)
        )

    @get("/principals", guards=admins, summary="List principals")
    async def find(request: AnyRequest) -> Page[ShownPrincipal]:
        found = principals_in(store.catalogue(), workspace=actor_of(request).workspace)
        return Page(items=[_shown(principal, store) for principal in found])

    @post("/principals/{principal_id:str}/role", guards=admins, opt={"body": bodies.GrantRole}, summary="Grant a role")
    async def grant(request: AnyRequest, principal_id: FromPath[str]) -> Response[bytes]:
        command, seen = await read_body(request, bodies.GrantRole), expected_version(request)
        return await change(
            request, lambda unit: handlers.grant_principal_role(unit, principal_id, command, expected_version=seen)
        )

    @post(
        "/principals/{principal_id:str}/erase",
        guards=admins,
        opt={"body": bodies.ErasePrincipal},
        summary="Erase a person's values by shredding their keys",
    )
    async def erase(request: AnyRequest, principal_id: FromPath[str]) -> Response[bytes]:
        command, seen = await read_body(request, bodies.ErasePrincipal), expected_version(request)
        return await change(
            request, lambda unit: handlers.erase_principal(unit, principal_id, command, expected_version=seen)
        )

    return [register, find, grant, erase]


def _token_routes(change: Change, admins: Guards) -> list[HTTPRouteHandler]:
    @post(
        "/principals/{principal_id:str}/tokens",
        guards=admins,
        opt={"body": bodies.IssueToken},
        summary="Issue another token",
    )
    async def issue(request: AnyRequest, principal_id: FromPath[str]) -> Response[bytes]:
        command, token = decode_body(await request.body() or b"{}", bodies.IssueToken), handlers.fresh_token()
        seen = expected_version(request)
        return await change(
            request,
            lambda unit: handlers.issue_another_token(unit, principal_id, command, token=token, expected_version=seen),
        )

    @post(
        "/principals/{principal_id:str}/tokens/{token_id:str}/revoke",
        guards=admins,
        opt={"body": bodies.RevokeToken},
        summary="Refuse a token from now on",
    )
    async def revoke(request: AnyRequest, principal_id: FromPath[str], token_id: FromPath[str]) -> Response[bytes]:
        command, seen = await read_body(request, bodies.RevokeToken), expected_version(request)
        return await change(
            request,
            lambda unit: handlers.revoke_principal_token(unit, principal_id, token_id, command, expected_version=seen),
        )

    return [issue, revoke]


def _shown(principal: Principal, store: EventStore) -> ShownPrincipal:
    name, email = (
        store.open(sealed, event_id=principal.event_id) if sealed else None
        for sealed in (principal.name, principal.email)
    )
    return ShownPrincipal(
        id=principal.id,
        kind=principal.kind,
        role=principal.role,
        name=name,
        email=email,
        is_erased=principal.is_erased,
        tokens=tuple(
            ShownToken(id=token.id, expires_at=token.expires_at, is_revoked=token.is_revoked)
            for token in principal.tokens
        ),
        created_at=principal.created_at,
    )
