"""GET /healthz and /readyz: the process answers; it takes commands, and what it stands on."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Literal

import msgspec
from litestar import Response, Router, get

from control_plane.errors import RollbookError
from control_plane.ports import EventStore
from control_plane.web.authentication import PUBLIC

Probe = Callable[[], Awaitable[bool]]
_OK, _UNAVAILABLE = 200, 503


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """The process runs."""

    status: Literal["ok"] = "ok"


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """Commands need the store alone; queries need ClickHouse, feedback needs Kafka."""

    status: Literal["ready", "unavailable"]
    store: Literal["ok", "unavailable"]
    position: int
    parts: dict[str, Literal["ok", "unavailable"]]
    gateway_url: str


def router(store: EventStore, probes: Mapping[str, Probe], *, gateway_url: str) -> Router:
    """Build the routes; `probes` are the parts that the API works without."""

    @get("/healthz", opt=PUBLIC, summary="The process answers")
    async def healthz() -> Health:
        return Health()

    @get("/readyz", opt=PUBLIC, summary="Commands are taken; the state of what the API stands on")
    async def readyz() -> Response[Readiness]:
        parts: dict[str, Literal["ok", "unavailable"]] = {
            name: "ok" if await probe() else "unavailable" for name, probe in probes.items()
        }
        try:
            position = store.head()
        except RollbookError:
            down = Readiness(
                status="unavailable", store="unavailable", position=0, parts=parts, gateway_url=gateway_url
            )
            return Response(down, status_code=_UNAVAILABLE)
        ready = Readiness(status="ready", store="ok", position=position, parts=parts, gateway_url=gateway_url)
        return Response(ready, status_code=_OK)

    return Router(path="/", route_handlers=[healthz, readyz], tags=["health"])
