"""What a shadow answers beside what callers got."""

from functools import partial

from infra.operations import READERS, Caller, Operations, Question
from projections.errors import BadQuery, ViewUnavailable
from projections.reading import Endpoints, Reader
from projections.shadow_comparison import queries
from projections.shadow_comparison.queries import Comparisons
from projections.view import Access


def operations(access: Access) -> Operations:
    """Declare them."""
    comparison = Question(
        method="GET",
        path="/v1/endpoints/{endpoint}/shadow/comparison",
        handler=partial(compare_shadow, access.reader, access.endpoints),
        sdk="endpoints.compare_shadow",
        asks=queries.Question,
        answers=Comparisons,
        roles=READERS,
        summary="Compare a shadow's answers with those that callers got",
        errors=(access.endpoints.unknown, BadQuery, ViewUnavailable),
    )
    return Operations("views", [comparison])


async def compare_shadow(
    reader: Reader, endpoints: Endpoints, caller: Caller, endpoint: str, asked: queries.Question
) -> Comparisons:
    """Compare an endpoint's versions with their shadows."""
    return await queries.compare_shadow(
        reader, await endpoints.id_of(endpoint, caller.workspace), workspace=caller.workspace, question=asked
    )
