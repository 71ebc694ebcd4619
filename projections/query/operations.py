"""Read-only SQL on the views."""

from functools import partial

from infra.operations import JSON, READERS, Caller, Content, Operations, Question
from projections.errors import BadQuery, QueriesBusy, SqlUnprotected, TooManyStatements, ViewUnavailable
from projections.query.lane import QueryLane
from projections.query.queries import MEDIA_TYPES, Sql, run_sql
from projections.view import Access


def operations(access: Access) -> Operations:
    """Declare them."""
    query = Question(
        method="POST",
        path="/v1/query",
        handler=partial(query_views, access.lane),
        asks=Sql,
        answers=dict,
        formats=tuple(sorted(set(MEDIA_TYPES.values()) - {JSON})),
        roles=READERS,
        summary="Run read-only SQL on the views, limited to the caller's workspace",
        errors=(BadQuery, TooManyStatements, QueriesBusy, SqlUnprotected, ViewUnavailable),
    )
    return Operations("views", [query])


async def query_views(lane: QueryLane, caller: Caller, query: Sql) -> Content:
    """Run one statement; the answer has the format that was asked for."""
    answer = await run_sql(lane, query, workspace=caller.workspace, principal=caller.principal_id)
    return Content(body=answer, media_type=MEDIA_TYPES[query.format])
