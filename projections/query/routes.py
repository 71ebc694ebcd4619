"""POST /v1/query."""

from litestar import Response, Router, post
from litestar.params import JSONBody

from projections.query.queries import MEDIA_TYPES, Sql, run_sql
from projections.store import ClickHouseStore


def router(store: ClickHouseStore) -> Router:
    """Build the routes of the view."""

    @post("/query", status_code=200, summary="Read-only SQL on the views")
    async def post_query(data: JSONBody[Sql]) -> Response[bytes]:
        return Response(await run_sql(store, data), media_type=MEDIA_TYPES[data.format])

    return Router(path="/v1", route_handlers=[post_query], tags=["views"])
