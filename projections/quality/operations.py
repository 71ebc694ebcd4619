"""How often each version is right."""

from functools import partial

from infra.operations import READERS, Caller, Operations, Question
from projections.errors import BadQuery, ViewUnavailable
from projections.quality.queries import Quality, quality_of_endpoint
from projections.reading import Endpoints, OverTime, Reader
from projections.view import Access


class QualityOverTime(OverTime, frozen=True, kw_only=True):
    """By which feedback, and over which time."""

    feedback_name: str | None = None


def operations(access: Access) -> Operations:
    """Declare them."""
    quality = Question(
        method="GET",
        path="/v1/endpoints/{endpoint}/quality",
        handler=partial(show_quality, access.reader, access.endpoints),
        sdk="endpoints.quality",
        asks=QualityOverTime,
        answers=Quality,
        roles=READERS,
        summary="Get the accuracy of each version, with its count of labels",
        errors=(access.endpoints.unknown, BadQuery, ViewUnavailable),
    )
    return Operations("views", [quality])


async def show_quality(
    reader: Reader, endpoints: Endpoints, caller: Caller, endpoint: str, asked: QualityOverTime
) -> Quality:
    """Return the accuracy of each version over time."""
    return await quality_of_endpoint(
        reader,
        await endpoints.id_of(endpoint, caller.workspace),
        workspace=caller.workspace,
        feedback_name=asked.feedback_name,
        since_ms=asked.since_ms,
        bucket_ms=asked.bucket_ms,
    )
