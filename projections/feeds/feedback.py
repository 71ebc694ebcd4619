"""Feedback: labels, ratings and outcomes, one document a message."""

import msgspec

from projections.errors import UndecodableError
from projections.feeds.batches import LATEST_MS
from projections.feeds.feed import Feed
from projections.messages import Message, body
from schemas import topics
from schemas.observations import Feedback

_decoder = msgspec.json.Decoder(Feedback)


def read_feedback(message: Message) -> Feedback:
    """Read a document.

    Raises:
        UndecodableError: the value is not feedback, or a time in it is none.
    """
    try:
        feedback = _decoder.decode(body(message))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UndecodableError(f"the value is not feedback: {error}") from error
    for name, at_ms in (("observed_at_ms", feedback.observed_at_ms), ("received_at_ms", feedback.received_at_ms)):
        if not 0 <= at_ms < LATEST_MS:
            raise UndecodableError(f"{name} is {at_ms}: not Unix milliseconds")
    return feedback


FEEDBACK = Feed(topic=topics.FEEDBACK, decode=read_feedback, max_messages=1_000, pace="spread")
