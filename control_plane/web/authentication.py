"""Who sends a request, and whether their role lets them: each route states the least role, or it answers no one."""

import hashlib
from contextlib import suppress
from typing import Any, Protocol

import msgspec
from litestar import Litestar, Request
from litestar.connection import ASGIConnection
from litestar.enums import HttpMethod
from litestar.handlers import BaseRouteHandler
from litestar.routes import HTTPRoute

from control_plane.errors import Forbidden, Invalid, Unknown
from control_plane.ports import Actor
from control_plane.web.problems import Unauthenticated
from control_plane.web.request_limits import RequestLimits
from infra.operations import Operation
from schemas.identifiers import WORKSPACE_HEADER

Connection = ASGIConnection[Any, Any, Any, Any]

_HEADER_BYTES = WORKSPACE_HEADER.lower().encode()
_ACTING_ELSEWHERE = frozenset({"admin", "service"})

PUBLIC = {"is_public": True}
"""The `opt` of a route that needs no token."""

_REMEDY = "send Authorization: Bearer <token>; the stack's own token is in secrets/admin.token of its data directory"


class RoleTooWeakError(Forbidden):
    """The token is valid, but its role does not allow this."""

    code = "role-too-weak"


class DutyDiffersError(Forbidden):
    """The token is that of one of Rollbook's own programs, which has nothing to do with this."""

    code = "duty-differs"


class WorkspaceUnknownError(Unknown):
    """The caller may not act in a workspace of this name, or there is none."""

    code = "workspace-not-found"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"there is no workspace {name} for this token",
            field=WORKSPACE_HEADER,
            remedy="leave the header out, or use a token of that workspace or of an admin of the home workspace",
        )


class WorkspaceClosedError(Forbidden):
    """The workspace was closed, and nobody acts in it any more."""

    code = "workspace-closed"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"the workspace {name} is closed",
            remedy="an admin of the home workspace can still read it with GET, and list the others",
        )


class NotOfHomeError(Forbidden):
    """Only principals of the home workspace may do this."""

    code = "home-workspace-only"


class Tokens(Protocol):
    """Knows whose a token is."""

    def actor_of(self, token_sha256: str) -> Actor | None:
        """Return who holds the token, or None when it is unknown, expired or revoked."""


class Workspaces(Protocol):
    """Knows which workspaces there are. From `home`, the installation is administered and its services act."""

    @property
    def home(self) -> str:
        """The name of the home workspace."""

    def is_known(self, name: str) -> bool:
        """Return whether there is such a workspace, open or closed."""

    def is_open(self, name: str) -> bool:
        """Return whether someone may act in it."""


class Doorway:
    """Finds out who sends a request, and counts it against the limit of its principal, or else of its address."""

    def __init__(self, tokens: Tokens, workspaces: Workspaces, limits: RequestLimits) -> None:
        self.workspaces = workspaces
        self._tokens = tokens
        self._limits = limits

    def admit(self, connection: Connection) -> Actor:
        """Return whose token a request carries.

        Raises:
            Unauthenticated: it carries none that is valid.
            TooManyRequestsError: the principal, or who sends no valid token from this address, sent too many.
        """
        try:
            actor = self._authenticated(connection)
        except Unauthenticated:
            self._limits.admit_address(connection.client.host if connection.client else "")
            raise
        self._limits.admit_principal(actor)
        return actor

    def _authenticated(self, connection: Connection) -> Actor:
        scheme, _, token = _authorization(connection).partition(b" ")
        if scheme.lower() != b"bearer" or not token.strip():
            raise Unauthenticated("the request has no bearer token", field="Authorization", remedy=_REMEDY)
        actor = self._tokens.actor_of(hashlib.sha256(token.strip()).hexdigest())
        if actor is None:
            raise Unauthenticated("the token is unknown, expired or revoked", field="Authorization", remedy=_REMEDY)
        return actor


class RoleGuard:
    """Lets some roles pass. A route has one, or says that it is `PUBLIC`.

    A principal acts in its own workspace. Admins and services of the home workspace act in the one that the header
    `Rollbook-Workspace` names, if it is there.
    """

    def __init__(self, doorway: Doorway, operation: Operation, *, remedy: str) -> None:
        self.roles = operation.roles
        self._doorway = doorway
        self._workspaces = doorway.workspaces
        self._is_for_installation = operation.is_for_installation
        self._duties = operation.duties
        self._is_for_closed = operation.is_for_closed or operation.method in {"GET", "HEAD"}
        self._remedy = remedy

    # Asynchronous, though it waits for nothing: Litestar runs a synchronous guard in a thread of its own.
    async def __call__(self, connection: Connection, _: BaseRouteHandler) -> None:
        actor = self._doorway.admit(connection)
        if actor.role not in self.roles:
            raise RoleTooWeakError(f"the role {actor.role} may not do this", remedy=self._remedy)
        if actor.duty is not None and actor.duty not in self._duties:
            raise DutyDiffersError(
                f"a service with the duty {actor.duty} may not do this",
                remedy="use the token of a person, or of a service without a duty",
            )
        home = self._workspaces.home
        if self._is_for_installation and actor.workspace != home:
            raise NotOfHomeError(
                f"only principals of the home workspace {home} may do this", remedy=f"ask an admin of {home}"
            )
        connection.scope["state"]["actor"] = self._in_workspace(connection, actor)

    def __deepcopy__(self, _: dict[int, Any]) -> "RoleGuard":
        # Litestar copies the routes of a router as deep as they go; the tokens behind a guard are one and the same.
        return self

    def _in_workspace(self, connection: Connection, actor: Actor) -> Actor:
        asked = _workspace_asked(connection)
        if asked is not None and asked != actor.workspace:
            may_ask = actor.workspace == self._workspaces.home and actor.role in _ACTING_ELSEWHERE
            if not may_ask or not self._workspaces.is_known(asked):
                raise WorkspaceUnknownError(asked)
            actor, is_at_home = msgspec.structs.replace(actor, workspace=asked), True
        else:
            is_at_home = actor.workspace == self._workspaces.home
        if not self._workspaces.is_open(actor.workspace) and not (is_at_home and self._is_for_closed):
            raise WorkspaceClosedError(actor.workspace)
        return actor


class PublicGuard:
    """Lets everybody pass, though not too often, and notes who asks where a good token says so.

    Whoever watches over the process is never sent away: others at its address could have it restarted.
    """

    def __init__(self, doorway: Doorway, *, is_for_watchers: bool) -> None:
        self._doorway = doorway
        self._is_for_watchers = is_for_watchers

    async def __call__(self, connection: Connection, _: BaseRouteHandler) -> None:
        if self._is_for_watchers:
            return
        with suppress(Unauthenticated):
            connection.scope["state"]["actor"] = self._doorway.admit(connection)

    def __deepcopy__(self, _: dict[int, Any]) -> "PublicGuard":
        return self


class Authentication:
    """Makes the guards of operations."""

    def __init__(self, tokens: Tokens, workspaces: Workspaces, limits: RequestLimits) -> None:
        self._doorway = Doorway(tokens, workspaces, limits)

    def public_guard(self, operation: Operation | None = None) -> PublicGuard:
        """Let everybody pass, and note who it is."""
        return PublicGuard(self._doorway, is_for_watchers=operation is not None and operation.is_for_watchers)

    def guard(self, operation: Operation) -> RoleGuard:
        """Let the roles pass that the operation is for."""
        roles = operation.roles
        people = [role for role in ("viewer", "operator", "admin") if role in roles]
        asks_for_service = "service" in roles and people == ["admin"]
        remedy = (
            "use a token with the role service"
            if asks_for_service
            else f"ask an admin for a token with the role {people[0]}"
        )
        return RoleGuard(self._doorway, operation, remedy=remedy)


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


def known_actor_of(request: Request[Any, Any, Any]) -> Actor | None:
    """Return who sent a request to a public route, None where nobody knows."""
    actor: Actor | None = request.scope["state"].get("actor")
    return actor


def _is_closed(handler: BaseRouteHandler) -> bool:
    return bool(handler.opt.get("is_public")) or any(isinstance(each, RoleGuard) for each in handler.resolve_guards())


def _authorization(connection: Connection) -> bytes:
    return next((value for name, value in connection.scope["headers"] if name == b"authorization"), b"")


def _workspace_asked(connection: Connection) -> str | None:
    asked = [value for name, value in connection.scope["headers"] if name == _HEADER_BYTES]
    if len(asked) > 1:
        raise Invalid(f"{WORKSPACE_HEADER} appears twice", field=WORKSPACE_HEADER, remedy="send it once")
    return asked[0].decode("latin-1") if asked else None
