"""What became of the feedback that callers sent."""

from functools import partial

import msgspec

from infra.operations import READERS, Caller, Operations, Question
from projections.errors import BadQuery, ViewUnavailable
from projections.feedback_history.queries import (
    EndpointFeedback,
    WorkspaceFeedback,
    feedback_of_workspace,
    feedback_on_endpoint,
)
from projections.reading import Endpoints, Reader
from projections.view import Access


class FeedbackSince(msgspec.Struct, frozen=True, kw_only=True):
    """On predictions since when (Unix ms): by default an hour ago, at most 31 days."""

    since_ms: int | None = None


def operations(access: Access) -> Operations:
    """Declare them."""
    of_endpoint = Question(
        method="GET",
        path="/v1/endpoints/{endpoint}/feedback",
        handler=partial(show_feedback_on_endpoint, access.reader, access.endpoints),
        sdk="endpoints.feedback",
        asks=FeedbackSince,
        answers=EndpointFeedback,
        roles=READERS,
        summary="Count the feedback on an endpoint: what can be used as a label or a number, what came late or twice",
        errors=(access.endpoints.unknown, BadQuery, ViewUnavailable),
    )
    of_workspace = Question(
        method="GET",
        path="/v1/feedback",
        handler=partial(show_feedback, access.reader),
        sdk="feedback.summary",
        asks=FeedbackSince,
        answers=WorkspaceFeedback,
        roles=READERS,
        summary="Count the feedback of each source: what came twice, was corrected, or is on no known prediction",
        errors=(BadQuery, ViewUnavailable),
    )
    return Operations("views", [of_endpoint, of_workspace])


async def show_feedback_on_endpoint(
    reader: Reader, endpoints: Endpoints, caller: Caller, endpoint: str, asked: FeedbackSince
) -> EndpointFeedback:
    """Count the feedback on the predictions of an endpoint."""
    endpoint_id = await endpoints.id_of(endpoint, caller.workspace)
    return await feedback_on_endpoint(reader, endpoint_id, workspace=caller.workspace, since_ms=asked.since_ms)


async def show_feedback(reader: Reader, caller: Caller, asked: FeedbackSince) -> WorkspaceFeedback:
    """Count the feedback on all predictions of a workspace."""
    return await feedback_of_workspace(reader, workspace=caller.workspace, since_ms=asked.since_ms)
