"""Who sends a request, and whether their role lets them: each route states the least role, or it answers nobody."""

import hashlib
from collections.abc import Callable
from typing import Any, Protocol

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from control_plane.errors import Forbidden
from control_plane.ports import Actor
from control_plane.web.problems import Unauthenticated
from schemas.events.access import Role

Guard = Callable[[ASGIConnection[Any, Any, Any, Any], BaseRouteHandler], None]

PUBLIC = {"is_public": True}
"""The `opt` of a route that needs no token."""

_RANK: dict[Role, int] = {"viewer": 0, "operator": 1, "admin": 2}
_REMEDY = "send Authorization: Bearer <token>; the stack's own token lies in secrets/admin.token of its data directory"


class RoleTooWeakError(Forbidden):
    """The token is good, the role is not enough."""

    code = "role-too-weak"


class Tokens(Protocol):
    """Knows whose a token is."""

    def actor_of(self, token_sha256: str) -> Actor | None:
        """Return who holds the token, or None when it is unknown, expired or revoked."""


class Authentication:
    """Makes the guards of routes."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    def at_least(self, least: Role, *, or_service: bool = False) -> Guard:
        """Let people of a role and above pass, and where said, programs too."""

        def guard(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
            actor = self._authenticate(connection)
            is_enough = or_service if actor.role == "service" else _RANK[actor.role] >= _RANK[least]
            if not is_enough:
                raise RoleTooWeakError(
                    f"the role {actor.role} may not do this",
                    remedy=f"ask an admin for a token of role {least}",
                )

        return guard

    def service(self) -> Guard:
        """Let only programs and admins pass."""

        def guard(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
            actor = self._authenticate(connection)
            if actor.role not in {"service", "admin"}:
                raise RoleTooWeakError(
                    f"the role {actor.role} may not report for a program",
                    remedy="use a token of role service",
                )

        return guard

    def _authenticate(self, connection: ASGIConnection[Any, Any, Any, Any]) -> Actor:
        scheme, _, token = connection.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated("the request carries no bearer token", field="Authorization", remedy=_REMEDY)
        actor = self._tokens.actor_of(hashlib.sha256(token.strip().encode()).hexdigest())
        if actor is None:
            raise Unauthenticated("the token is unknown, expired or revoked", field="Authorization", remedy=_REMEDY)
        connection.scope["state"]["actor"] = actor
        return actor


def actor_of(request: Request[Any, Any, Any]) -> Actor:
    """Return who sent a request that a guard let pass."""
    actor: Actor = request.scope["state"]["actor"]
    return actor
