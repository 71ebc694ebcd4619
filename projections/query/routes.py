"""POST /v1/query."""

from typing import Any

from litestar import Request, Response, Router, post

from projections.query.lane import QueryLane
from projections.query.queries import MEDIA_TYPES, Sql, run_sql
from projections.reading import Caller


def router(lane: QueryLane, caller: Caller) -> Router:
    """Build the routes of the view."""

    @post(
        "/query",
        status_code=200,
        opt={"body": Sql},
        summary="Read-only SQL on the views, over the rows of the caller's workspace",
    )
    async def post_query(request: Request[Any, Any, Any]) -> Response[bytes]:
        query = await caller.read_body(request, Sql)
        answer = await run_sql(
            lane, query, workspace=caller.workspace_of(request), principal=caller.principal_of(request)
        )
        return Response(answer, media_type=MEDIA_TYPES[query.format])

    return Router(path="/v1", route_handlers=[post_query], tags=["views"])
