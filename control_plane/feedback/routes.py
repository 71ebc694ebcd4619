"""POST /v1/feedback."""

from typing import Any

from litestar import Request, Response, Router, post

from control_plane.feedback.bodies import Accepted, FeedbackBatch, feedback_of
from control_plane.feedback.publisher import FeedbackPublisher
from control_plane.web.authentication import Authentication, actor_of
from control_plane.web.bodies import read_body
from infra.clock import Clock

_ACCEPTED = 202


def router(authentication: Authentication, publisher: FeedbackPublisher, *, clock: Clock) -> Router:
    """Build the route."""

    @post(
        "/feedback",
        guards=[authentication.at_least("operator", or_service=True)],
        opt={"body": FeedbackBatch},
        status_code=_ACCEPTED,
        summary="Labels, ratings and outcomes of predictions; answered when the broker has them",
    )
    async def give_feedback(request: Request[Any, Any, Any]) -> Response[Accepted]:
        batch = await read_body(request, FeedbackBatch)
        feedback = feedback_of(batch, workspace=actor_of(request).workspace, now_ms=clock.now_ms())
        await publisher.publish(feedback)
        return Response(Accepted(accepted=len(feedback)), status_code=_ACCEPTED)

    return Router(path="/v1", route_handlers=[give_feedback], tags=["feedback"])
