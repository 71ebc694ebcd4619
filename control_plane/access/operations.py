"""The operations on principals and their tokens; all are for admins."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial

import msgspec

from control_plane.access import commands, errors, handlers
from control_plane.access.aggregate import Principal
from control_plane.access.tokens import TokenIndex
from control_plane.errors import Invalid
from control_plane.ports import EventStore
from control_plane.web.listing import Page, Paging, page
from infra.operations import ADMINS, Caller, Command, Operation, Operations, Question
from schemas.documents.access import PrincipalBase
from schemas.documents.shared import shared
from schemas.identifiers import Kind

Around = Callable[..., AbstractAsyncContextManager[str | None]]

_CREATED = 201
_KNOWN = (errors.PrincipalUnknownError, errors.StaleVersionError)


class ShownToken(msgspec.Struct, frozen=True, kw_only=True):
    """A token without what makes it one."""

    id: str
    expires_at: str | None
    is_revoked: bool


class ShownPrincipal(PrincipalBase, frozen=True, kw_only=True):
    """A principal as admins see it; name and e-mail are null once erased."""

    name: str | None
    email: str | None
    tokens: tuple[ShownToken, ...]


def operations(store: EventStore, tokens: TokenIndex) -> Operations:
    """Declare them."""

    @asynccontextmanager
    async def refreshed(*_: object) -> AsyncIterator[None]:
        # Also where the command seems to fail: it may be committed yet.
        try:
            yield
        finally:
            await asyncio.shield(asyncio.to_thread(tokens.refresh))

    @asynccontextmanager
    async def issued(*_: object) -> AsyncIterator[str]:
        async with refreshed():
            yield handlers.fresh_token()

    return Operations("access", [*_principals(store, refreshed, issued), *_tokens(refreshed, issued)])


def find_principals(store: EventStore, caller: Caller, asked: Paging) -> Page[ShownPrincipal]:
    """Return a page of the principals of a workspace."""
    rows = store.catalogue().find(Kind.PRINCIPAL, workspace=caller.workspace, after_id=asked.cursor, limit=asked.size)
    principals = [msgspec.json.decode(row.body, type=Principal) for row in rows]
    return page([_shown(principal, store) for principal in principals], asked)


def _principals(store: EventStore, refreshed: Around, issued: Around) -> list[Operation]:
    return [
        Question(
            method="GET",
            path="/v1/principals",
            handler=partial(find_principals, store),
            sdk="principals.list",
            asks=Paging,
            answers=Page[ShownPrincipal],
            roles=ADMINS,
            summary="List the principals",
        ),
        Command(
            method="POST",
            path="/v1/principals",
            handler=handlers.register_principal,
            sdk="principals.register",
            around=issued,
            asks=commands.RegisterPrincipal,
            answers=handlers.IssuedToken,
            status=_CREATED,
            roles=ADMINS,
            summary="Register a person or a program, and issue its first token",
            errors=(errors.StaleVersionError, Invalid),
        ),
        Command(
            method="POST",
            path="/v1/principals/{principal_id}/role",
            handler=handlers.grant_principal_role,
            sdk="principals.grant_role",
            around=refreshed,
            asks=commands.GrantRole,
            answers=handlers.Changed,
            roles=ADMINS,
            summary="Grant a principal a role",
            errors=(*_KNOWN, errors.LastAdminError, errors.PrincipalErasedError),
        ),
        Command(
            method="POST",
            path="/v1/principals/{principal_id}/erase",
            handler=handlers.erase_principal,
            sdk="principals.erase",
            around=refreshed,
            asks=commands.ErasePrincipal,
            answers=handlers.Changed,
            roles=ADMINS,
            is_for_closed=True,
            summary="Erase a person's data by destroying the keys that it is encrypted with",
            errors=(*_KNOWN, errors.LastAdminError),
        ),
    ]


def _tokens(refreshed: Around, issued: Around) -> list[Operation]:
    return [
        Command(
            method="POST",
            path="/v1/principals/{principal_id}/tokens",
            handler=handlers.issue_another_token,
            sdk="principals.issue_token",
            around=issued,
            asks=commands.IssueToken,
            answers=handlers.IssuedToken,
            status=_CREATED,
            roles=ADMINS,
            summary="Issue another token to a principal",
            errors=(*_KNOWN, errors.PrincipalErasedError),
        ),
        Command(
            method="POST",
            path="/v1/principals/{principal_id}/tokens/{token_id}/revoke",
            handler=handlers.revoke_principal_token,
            sdk="principals.revoke_token",
            around=refreshed,
            asks=commands.RevokeToken,
            answers=handlers.Changed,
            roles=ADMINS,
            is_for_closed=True,
            summary="Revoke a token",
            errors=(*_KNOWN, errors.TokenUnknownError, errors.LastAdminError),
        ),
    ]


def _shown(principal: Principal, store: EventStore) -> ShownPrincipal:
    name, email = (
        store.open(sealed, event_id=principal.event_id) if sealed else None
        for sealed in (principal.name, principal.email)
    )
    return ShownPrincipal(
        **shared(principal, PrincipalBase),
        name=name,
        email=email,
        tokens=tuple(
            ShownToken(id=token.id, expires_at=token.expires_at, is_revoked=token.is_revoked)
            for token in principal.tokens
        ),
    )
