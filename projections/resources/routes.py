"""GET /v1/endpoints/{endpoint}/resources and /v1/resources."""

from typing import Any

from litestar import Request, Router, get
from litestar.params import FromPath, FromQuery

from projections.reading import Caller, Reader
from projections.resources.queries import ResourcesOverTime, resources_of_endpoint, resources_of_machines


def router(reader: Reader, caller: Caller) -> Router:
    """Build the routes of the view."""

    @get("/endpoints/{endpoint:str}/resources", summary="What an endpoint's instances use and have in hand")
    async def get_resources(
        request: Request[Any, Any, Any],
        endpoint: FromPath[str],
        since_ms: FromQuery[int | None] = None,
        bucket_ms: FromQuery[int] = 60_000,
    ) -> ResourcesOverTime:
        endpoint_id = caller.endpoint_id_of(request, endpoint)
        workspace = caller.workspace_of(request)
        return await resources_of_endpoint(
            reader, endpoint_id, workspace=workspace, since_ms=since_ms, bucket_ms=bucket_ms
        )

    @get("/resources", summary="What hosts and gateways use")
    async def get_machines(
        since_ms: FromQuery[int | None] = None, bucket_ms: FromQuery[int] = 60_000
    ) -> ResourcesOverTime:
        return await resources_of_machines(reader, since_ms=since_ms, bucket_ms=bucket_ms)

    return Router(path="/v1", route_handlers=[get_resources, get_machines], tags=["views"])
