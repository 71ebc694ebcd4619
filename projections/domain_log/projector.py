"""Domain events -> rows of every view that folds them; domain_events comes last, as its position is the view's."""

import msgspec

from projections.domain_log.rows import DOMAIN_EVENTS, event_row
from projections.errors import UndecodableError
from projections.messages import Message, body, header
from projections.tables import Rows
from projections.views import EVENT_VIEWS
from schemas import envelope
from schemas.envelope import RecordedEvent
from schemas.topics import REGISTRY_EVENTS

POSITION_HEADER = "position"


class RegistryProjector:
    """Fills the views of the registry. An event of a newer release still gets its row, and so advances the position."""

    topic = REGISTRY_EVENTS
    tables = (*(view.table for view in EVENT_VIEWS), DOMAIN_EVENTS)

    def project(self, message: Message) -> tuple[Rows, ...]:
        recorded = recorded_event(message)
        try:
            return (*(view.rows(recorded, message) for view in EVENT_VIEWS), event_row(recorded, message))
        except ValueError as error:
            raise UndecodableError(f"{recorded.envelope.type} has a time that is none: {error}") from error


def recorded_event(message: Message) -> RecordedEvent:
    """Read an event and its position.

    Raises:
        UndecodableError: the value is not an envelope, or the position header is missing or no number.
    """
    canonical = body(message)
    position = header(message, POSITION_HEADER)
    if not position.isdecimal():
        raise UndecodableError(f"header {POSITION_HEADER} is {position!r}, not a number")
    try:
        return RecordedEvent(position=int(position), envelope=envelope.decode(canonical), canonical=canonical)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UndecodableError(f"the value is not an event: {error}") from error
