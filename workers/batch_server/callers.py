"""The caller: what the gateway says about the token that it has checked.

Only this user can connect to the socket, so nobody but the gateway can set these headers.
"""

from http import HTTPStatus

import msgspec
from aiohttp import web

from workers.batch_server.errors import ApiError

_WORKSPACE, _SUBJECT, _SCOPES = "x-rollbook-workspace", "x-rollbook-subject", "x-rollbook-scopes"


class Caller(msgspec.Struct, frozen=True):
    """The holder of an inference token, and the endpoints that the token may call."""

    workspace: str
    subject: str
    scopes: tuple[str, ...] = ()

    def owns(self, workspace: str, owner: str) -> bool:
        """Return whether something belongs to the caller."""
        return (workspace, owner) == (self.workspace, self.subject)


def caller_of(request: web.Request) -> Caller:
    """Return who sent a request.

    Raises:
        ApiError: the gateway did not say.
    """
    workspace, subject = request.headers.get(_WORKSPACE, ""), request.headers.get(_SUBJECT, "")
    try:
        scopes = msgspec.json.decode(request.headers.get(_SCOPES, ""), type=tuple[str, ...])
    except msgspec.DecodeError:
        scopes = ()
    if not (workspace and subject and scopes):
        raise ApiError(
            HTTPStatus.UNAUTHORIZED,
            "the request has no inference token; mint one with rollbook token",
            code="invalid_api_key",
            kind="authentication_error",
        )
    return Caller(workspace, subject, scopes)
