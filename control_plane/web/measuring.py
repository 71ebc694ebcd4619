"""Counts the requests of the API and how long they take, by route: a path of its own for each id would be endless."""

from time import perf_counter

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from prometheus_client import CollectorRegistry, Counter, Histogram

_NOWHERE = "(none)"
_NO_ANSWER = "0"


def measuring(app: ASGIApp, registry: CollectorRegistry) -> ASGIApp:
    """Wrap an ASGI application; one that was not answered counts with status 0."""
    labels = ("method", "route")
    requests = Counter(
        "rollbook_http_requests", "Requests by the status of their answers.", (*labels, "status"), registry=registry
    )
    seconds = Histogram(
        "rollbook_http_request_duration_seconds", "Until the answer was sent.", labels, registry=registry
    )

    async def measured(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await app(scope, receive, send)
            return
        began, status = perf_counter(), _NO_ANSWER

        async def send_and_observe(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        try:
            await app(scope, receive, send_and_observe)
        finally:
            route = scope.get("path_template") or _NOWHERE
            requests.labels(scope["method"], route, status).inc()
            seconds.labels(scope["method"], route).observe(perf_counter() - began)

    return measured
