"""Domain events, each with its position in the log."""

import msgspec

from projections.errors import UndecodableError
from projections.feeds.feed import Feed
from projections.messages import Message, body, header
from schemas import envelope
from schemas.envelope import RecordedEvent, unix_ms
from schemas.topics import REGISTRY_EVENTS

POSITION_HEADER = "position"
_MAX_DIGITS = 18


def recorded_event(message: Message) -> RecordedEvent:
    """Read an event and its position.

    Raises:
        UndecodableError: the value is not an envelope, its time is none, or the position header is missing or no
            number.
    """
    canonical = body(message)
    position = header(message, POSITION_HEADER)
    if not (position.isdecimal() and len(position) <= _MAX_DIGITS):
        raise UndecodableError(f"header {POSITION_HEADER} is {position!r}, not a number")
    try:
        # A part that nobody has decoded yet may still not be text.
        canonical.decode()
        recorded = RecordedEvent(position=int(position), envelope=envelope.decode(canonical), canonical=canonical)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UndecodableError(f"the value is not an event: {error}") from error
    try:
        unix_ms(recorded.envelope.time)
    except (ValueError, OverflowError) as error:
        raise UndecodableError(f"{recorded.envelope.type} has a time that is none: {error}") from error
    return recorded


EVENTS = Feed(topic=REGISTRY_EVENTS, decode=recorded_event, max_messages=1_000, pace="event")
