"""What the tables of the views hold, and for how long."""

from functools import partial

from infra.operations import OPERATORS, Caller, Operations, Question
from projections.errors import ViewUnavailable
from projections.retention.queries import KeptTables, list_tables
from projections.view import Access


def operations(access: Access) -> Operations:
    """Declare it."""
    listing = Question(
        method="GET",
        path="/v1/views",
        handler=partial(list_views, access),
        sdk="views.list",
        answers=KeptTables,
        roles=OPERATORS,
        summary="Get what the tables of the views hold, of all workspaces together, and how long they keep it",
        errors=(ViewUnavailable,),
        is_for_installation=True,
    )
    return Operations("views", [listing])


async def list_views(access: Access, _caller: Caller) -> KeptTables:
    """Return the tables."""
    return await list_tables(access.reader, access.tables)
