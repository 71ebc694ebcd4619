"""Who sends a request, and whether their role lets them: each route states the least role, or it answers no one."""

import hashlib
from typing import Any, Protocol

from litestar import Litestar, Request
from litestar.connection import ASGIConnection
from litestar.enums import HttpMethod
from litestar.handlers import BaseRouteHandler
from litestar.routes import HTTPRoute

from control_plane.errors import Forbidden
from control_plane.ports import Actor
from control_plane.web.problems import Unauthenticated
from schemas.events.access import Role

Connection = ASGIConnection[Any, Any, Any, Any]

PUBLIC = {"is_public": True}
"""The `opt` of a route that needs no token."""

_REMEDY = "send Authorization: Bearer <token>; the stack's own token is in secrets/admin.token of its data directory"


class RoleTooWeakError(Forbidden):
    """The token is valid, but its role does not allow this."""

    code = "role-too-weak"


class Tokens(Protocol):
    """Knows whose a token is."""

    def actor_of(self, token_sha256: str) -> Actor | None:
        """Return who holds the token, or None when it is unknown, expired or revoked."""


class RoleGuard:
    """Lets some roles pass. A route has one, or says that it is `PUBLIC`."""

    def __init__(self, tokens: Tokens, roles: frozenset[Role], *, remedy: str) -> None:
        self.roles = roles
        self._tokens = tokens
        self._remedy = remedy

    # Asynchronous, though it waits for nothing: Litestar runs a synchronous guard in a thread of its own.
    async def __call__(self, connection: Connection, _: BaseRouteHandler) -> None:
        actor = self._authenticated(connection)
        if actor.role not in self.roles:
            raise RoleTooWeakError(f"the role {actor.role} may not do this", remedy=self._remedy)
        connection.scope["state"]["actor"] = actor

    def __deepcopy__(self, _: dict[int, Any]) -> "RoleGuard":
        # Litestar copies the routes of a router as deep as they go; the tokens behind a guard are one and the same.
        return self

    def _authenticated(self, connection: Connection) -> Actor:
        scheme, _, token = _authorization(connection).partition(b" ")
        if scheme.lower() != b"bearer" or not token.strip():
            raise Unauthenticated("the request has no bearer token", field="Authorization", remedy=_REMEDY)
        actor = self._tokens.actor_of(hashlib.sha256(token.strip()).hexdigest())
        if actor is None:
            raise Unauthenticated("the token is unknown, expired or revoked", field="Authorization", remedy=_REMEDY)
        return actor


class Authentication:
    """Makes the guards of operations."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    def roles(self, roles: frozenset[Role]) -> RoleGuard:
        """Let some roles pass."""
        people = [role for role in ("viewer", "operator", "admin") if role in roles]
        asks_for_service = "service" in roles and people == ["admin"]
        remedy = (
            "use a token with the role service"
            if asks_for_service
            else f"ask an admin for a token with the role {people[0]}"
        )
        return RoleGuard(self._tokens, roles, remedy=remedy)


def open_routes(app: Litestar) -> list[str]:
    """Return the routes that neither have a `RoleGuard` nor are `PUBLIC`; an application with one must not start.

    The answer to OPTIONS is the framework's, and says only which methods there are.
    """
    return [
        f"{method} {route.path}"
        for route in app.routes
        if isinstance(route, HTTPRoute)
        for handler in route.route_handlers
        for method in handler.http_methods
        if method != HttpMethod.OPTIONS and not _is_closed(handler)
    ]


def actor_of(request: Request[Any, Any, Any]) -> Actor:
    """Return who sent a request that a guard let pass."""
    actor: Actor = request.scope["state"]["actor"]
    return actor


def _is_closed(handler: BaseRouteHandler) -> bool:
    return bool(handler.opt.get("is_public")) or any(isinstance(each, RoleGuard) for each in handler.resolve_guards())


def _authorization(connection: Connection) -> bytes:
    return next((value for name, value in connection.scope["headers"] if name == b"authorization"), b"")
