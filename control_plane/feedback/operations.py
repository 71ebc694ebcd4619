"""Labels, ratings and outcomes of predictions; answered when the broker has them."""

from functools import partial

from control_plane.feedback.bodies import Accepted, FeedbackBatch, InvalidFeedbackError, feedback_of
from control_plane.feedback.publisher import FeedbackPublisher, KafkaAwayError, TooMuchFeedbackError
from infra.clock import Clock
from infra.operations import OPERATORS_AND_SERVICES, Caller, Operations, Question

_ACCEPTED = 202


def operations(publisher: FeedbackPublisher, *, clock: Clock) -> Operations:
    """Declare them."""
    give = Question(
        method="POST",
        path="/v1/feedback",
        handler=partial(give_feedback, publisher, clock),
        sdk="feedback.send",
        asks=FeedbackBatch,
        answers=Accepted,
        status=_ACCEPTED,
        roles=OPERATORS_AND_SERVICES,
        summary="Send labels, ratings and outcomes of predictions",
        errors=(InvalidFeedbackError, KafkaAwayError, TooMuchFeedbackError),
    )
    return Operations("feedback", [give])


async def give_feedback(publisher: FeedbackPublisher, clock: Clock, caller: Caller, batch: FeedbackBatch) -> Accepted:
    """Publish feedback, and return how much."""
    feedback = feedback_of(batch, workspace=caller.workspace, now_ms=clock.now_ms())
    await publisher.publish(feedback)
    return Accepted(accepted=len(feedback))
