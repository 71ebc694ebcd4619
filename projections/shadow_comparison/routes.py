"""GET /v1/endpoints/{endpoint}/shadow/comparison."""

from typing import Any

from litestar import Request, Router, get
from litestar.params import FromPath, FromQuery

from projections.reading import Caller, Reader
from projections.shadow_comparison.queries import Comparisons, Question, compare_shadow


def router(reader: Reader, caller: Caller) -> Router:
    """Build the routes of the view."""

    @get("/endpoints/{endpoint:str}/shadow/comparison", summary="What a shadow answers beside what callers got")
    async def compare(
        request: Request[Any, Any, Any],
        endpoint: FromPath[str],
        since_ms: FromQuery[int | None] = None,
        tolerance: FromQuery[float] = 0.0,
        limit: FromQuery[int] = 20,
        only_different: FromQuery[bool] = True,  # noqa: FBT002  a query parameter
    ) -> Comparisons:
        return await compare_shadow(
            reader,
            caller.endpoint_id_of(request, endpoint),
            workspace=caller.workspace_of(request),
            question=Question(since_ms=since_ms, tolerance=tolerance, limit=limit, only_different=only_different),
        )

    return Router(path="/v1", route_handlers=[compare], tags=["views"])
