"""What the features of an endpoint's versions looked like."""

from functools import partial

from infra.operations import DRIFT, READERS, Caller, Operations, Question
from projections.errors import BadQuery, ViewUnavailable
from projections.feature_summaries.queries import summaries_of_endpoint
from projections.reading import Endpoints, Reader
from projections.view import Access
from schemas.feature_summaries import AskFeatureSummaries, FeatureSummaries


def operations(access: Access) -> Operations:
    """Declare them."""
    summaries = Question(
        method="POST",
        path="/v1/endpoints/{endpoint}/feature-summaries",
        handler=partial(show_feature_summaries, access.reader, access.endpoints),
        sdk="endpoints.feature_summaries",
        asks=AskFeatureSummaries,
        answers=FeatureSummaries,
        roles=READERS,
        duties=DRIFT,
        summary="Get the distribution of each captured feature of each deployment, by windows of time",
        errors=(access.endpoints.unknown, BadQuery, ViewUnavailable),
    )
    return Operations("views", [summaries])


async def show_feature_summaries(
    reader: Reader, endpoints: Endpoints, caller: Caller, endpoint: str, asked: AskFeatureSummaries
) -> FeatureSummaries:
    """Return the summaries of an endpoint's features."""
    endpoint_id = await endpoints.id_of(endpoint, caller.workspace)
    return await summaries_of_endpoint(reader, endpoint_id, workspace=caller.workspace, asked=asked)
