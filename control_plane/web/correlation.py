"""One correlation id for a request, from the caller or made here; bound to every log line and every event."""

import re
from collections.abc import Iterable
from secrets import token_hex

import structlog
from litestar.datastructures import MutableScopeHeaders
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

HEADER = "x-correlation-id"
_ACCEPTED = re.compile(rb"[A-Za-z0-9._:/-]{1,128}")
_TRACE_PARENT = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}.*")


def correlating(app: ASGIApp) -> ASGIApp:
    """Wrap an ASGI application: reads X-Correlation-Id, else the trace id of `traceparent`, else makes one."""

    async def correlated(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await app(scope, receive, send)
            return
        correlation_id = _correlation_id(scope["headers"])
        scope.setdefault("state", {})["correlation_id"] = correlation_id

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableScopeHeaders(message)[HEADER] = correlation_id
            await send(message)

        with structlog.contextvars.bound_contextvars(correlation_id=correlation_id):
            await app(scope, receive, send_with_id)

    return correlated


def _correlation_id(headers: Iterable[tuple[bytes, bytes]]) -> str:
    given = {name: value for name, value in headers if name in {b"x-correlation-id", b"traceparent"}}
    own = given.get(b"x-correlation-id", b"")
    if _ACCEPTED.fullmatch(own):
        return own.decode()
    trace = _TRACE_PARENT.fullmatch(given.get(b"traceparent", b""))
    return trace[1].decode() if trace else token_hex(16)
