"""GET /v1/rollouts/{id}/timeline."""

from typing import Any

from litestar import Request, Router, get
from litestar.params import FromPath, FromQuery

from projections.reading import Caller, Reader
from projections.rollout_timeline.queries import Timeline, timeline_of_rollout


def router(reader: Reader, caller: Caller) -> Router:
    """Build the routes of the view."""

    @get("/rollouts/{rollout_id:str}/timeline", summary="What happened to a rollout, and why")
    async def get_timeline(
        request: Request[Any, Any, Any],
        rollout_id: FromPath[str],
        min_position: FromQuery[int | None] = None,
        wait_ms: FromQuery[int] = 0,
    ) -> Timeline:
        workspace = caller.workspace_of(request)
        return await timeline_of_rollout(
            reader, rollout_id, workspace=workspace, min_position=min_position, wait_ms=wait_ms
        )

    return Router(path="/v1", route_handlers=[get_timeline], tags=["views"])
