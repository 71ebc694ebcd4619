"""GET /v1/endpoints/{endpoint}/quality."""

from typing import Any

from litestar import Request, Router, get
from litestar.params import FromPath, FromQuery

from projections.quality.queries import Quality, quality_of_endpoint
from projections.reading import Caller, Reader


def router(reader: Reader, caller: Caller) -> Router:
    """Build the routes of the view."""

    @get("/endpoints/{endpoint:str}/quality", summary="Accuracy of each version, with its count of labels")
    async def get_quality(
        request: Request[Any, Any, Any],
        endpoint: FromPath[str],
        feedback_name: FromQuery[str | None] = None,
        since_ms: FromQuery[int | None] = None,
        bucket_ms: FromQuery[int] = 60_000,
    ) -> Quality:
        return await quality_of_endpoint(
            reader,
            caller.endpoint_id_of(request, endpoint),
            workspace=caller.workspace_of(request),
            feedback_name=feedback_name,
            since_ms=since_ms,
            bucket_ms=bucket_ms,
        )

    return Router(path="/v1", route_handlers=[get_quality], tags=["views"])
