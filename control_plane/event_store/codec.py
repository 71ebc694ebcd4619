"""Between event structs, canonical bytes and what the recorder stores; the canonical bytes go in and out unchanged."""

from collections.abc import Sequence

import msgspec
from eventsourcing.persistence import StoredEvent

from control_plane.event_store.errors import EventTooLargeError, NewerEventError
from control_plane.log.ports import LoggedEvent
from control_plane.ports import Aggregate, CommandContext, EventContext, State
from schemas.catalogue import TYPE_NAMES, NotUnderstood, decode_data, read_data
from schemas.envelope import MAX_EVENT_BYTES, Envelope, RecordedEvent, decode, encode, encode_data
from schemas.identifiers import EventId, StreamId


class EventFrame(msgspec.Struct, frozen=True, kw_only=True):
    """What all events of one append share."""

    context: CommandContext
    stream: str
    time: str


def encode_event(event: msgspec.Struct, frame: EventFrame, *, version: int, event_id: str) -> Envelope:
    """Put an event into its envelope."""
    return Envelope(
        type=TYPE_NAMES[type(event)],
        id=EventId(event_id),
        time=frame.time,
        workspace=frame.context.actor.workspace,
        stream=StreamId(frame.stream),
        streamversion=version,
        actor=frame.context.actor.principal_id,
        correlationid=frame.context.correlation_id,
        causationid=frame.context.causation_id,
        commandid=frame.context.command_id,
        data=encode_data(event),
    )


def to_stored(envelope: Envelope) -> StoredEvent:
    """Return the row of an envelope.

    Raises:
        EventTooLargeError: the canonical bytes are more than the log takes.
    """
    canonical = encode(envelope)
    if len(canonical) > MAX_EVENT_BYTES:
        raise EventTooLargeError(type_name=envelope.type, size=len(canonical), limit=MAX_EVENT_BYTES)
    return StoredEvent(
        originator_id=envelope.stream,
        originator_version=envelope.streamversion,
        topic=envelope.type,
        state=canonical,
    )


def to_recorded(event: LoggedEvent) -> RecordedEvent:
    """Decode what was read from the log.

    Raises:
        msgspec.DecodeError: the bytes are not an envelope.
    """
    return RecordedEvent(position=event.position, envelope=decode(event.canonical), canonical=event.canonical)


def fold_own(aggregate: Aggregate[State], state: State, envelopes: Sequence[Envelope]) -> State:
    """Apply events that are about to be stored, as they will read from the log.

    Raises:
        msgspec.ValidationError: an event's values do not fit its type; so it never is stored.
    """
    for envelope in envelopes:
        event = decode_data(envelope.type, envelope.data)
        assert event is not None, "what was encoded here has a type that is known here"
        state = aggregate.evolve(state, event, context_of(envelope))
    return state


def fold(aggregate: Aggregate[State], state: State, envelopes: Sequence[Envelope]) -> State:
    """Apply events of the log to a state.

    Raises:
        NewerEventError: an event can't be read here; deciding on half a history would be worse than not deciding.
    """
    for envelope in envelopes:
        event = read_data(envelope.type, envelope.data)
        if isinstance(event, NotUnderstood):
            raise NewerEventError(stream=envelope.stream, type_name=envelope.type, detail=event.detail)
        state = aggregate.evolve(state, event, context_of(envelope))
    return state


def context_of(envelope: Envelope) -> EventContext:
    """Return what stands around an event."""
    return EventContext(
        event_id=envelope.id,
        workspace=envelope.workspace,
        stream=envelope.stream,
        version=envelope.streamversion,
        at=envelope.time,
        actor=envelope.actor,
    )
