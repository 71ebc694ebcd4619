"""GET /v1/endpoints/{endpoint}/metrics and …/tokens."""

from typing import Any, Literal

from litestar import Request, Router, get
from litestar.params import FromPath, FromQuery

from projections.reading import Caller, Reader
from projections.serving_metrics.queries import Metrics, metrics_of_endpoint
from projections.serving_metrics.token_queries import Tokens, tokens_of_endpoint


def router(reader: Reader, caller: Caller) -> Router:
    """Build the routes of the view."""

    @get("/endpoints/{endpoint:str}/metrics", summary="Requests, errors by class and latency over time")
    async def get_metrics(
        request: Request[Any, Any, Any],
        endpoint: FromPath[str],
        since_ms: FromQuery[int | None] = None,
        bucket_ms: FromQuery[int] = 10_000,
        by: FromQuery[Literal["deployment"]] = "deployment",  # noqa: ARG001  the only grouping so far; others are refused
    ) -> Metrics:
        endpoint_id = caller.endpoint_id_of(request, endpoint)
        workspace = caller.workspace_of(request)
        return await metrics_of_endpoint(
            reader, endpoint_id, workspace=workspace, since_ms=since_ms, bucket_ms=bucket_ms
        )

    @get("/endpoints/{endpoint:str}/tokens", summary="Tokens, times of streams and ends of answers over time")
    async def get_tokens(
        request: Request[Any, Any, Any],
        endpoint: FromPath[str],
        since_ms: FromQuery[int | None] = None,
        bucket_ms: FromQuery[int] = 10_000,
    ) -> Tokens:
        endpoint_id = caller.endpoint_id_of(request, endpoint)
        workspace = caller.workspace_of(request)
        return await tokens_of_endpoint(
            reader, endpoint_id, workspace=workspace, since_ms=since_ms, bucket_ms=bucket_ms
        )

    return Router(path="/v1", route_handlers=[get_metrics, get_tokens], tags=["views"])
