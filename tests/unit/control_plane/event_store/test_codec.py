import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.event_store.codec import EventFrame, encode_event, fold, to_recorded, to_stored
from control_plane.event_store.errors import EventTooLargeError, NewerEventError
from control_plane.log.ports import LoggedEvent
from schemas.envelope import MAX_EVENT_BYTES, decode
from schemas.events.registry import ModelRegistered
from tests.support.store import SHELF, assigned, context, model_id

FRAME = EventFrame(context=context(), stream=model_id(1), time="2026-01-02T03:04:05.678Z")


def _registered(description: str) -> ModelRegistered:
    return ModelRegistered(name="digits", description=description, tags={})


@given(description=st.text(max_size=200))
def test_what_is_stored_is_read_back_as_the_same_event_and_bytes(description: str) -> None:
    envelope = encode_event(_registered(description), FRAME, version=1, event_id="event-1")
    stored = to_stored(envelope)

    recorded = to_recorded(LoggedEvent(9, envelope.stream, stored.originator_version, stored.topic, stored.state))

    assert (recorded.position, recorded.envelope, recorded.canonical) == (9, decode(stored.state), stored.state)
    assert recorded.envelope == envelope


def test_an_event_of_exactly_the_limit_is_taken_and_one_byte_more_is_not() -> None:
    room = MAX_EVENT_BYTES - len(to_stored(encode_event(_registered(""), FRAME, version=1, event_id="e")).state)

    to_stored(encode_event(_registered("x" * room), FRAME, version=1, event_id="e"))
    with pytest.raises(EventTooLargeError):
        to_stored(encode_event(_registered("x" * (room + 1)), FRAME, version=1, event_id="e"))


@given(numbers=st.lists(st.integers(min_value=1, max_value=9), max_size=8), cut=st.integers(min_value=0, max_value=8))
def test_folding_in_two_parts_is_folding_at_once(numbers: list[int], cut: int) -> None:
    events = [_registered(""), *(assigned(number) for number in numbers)]
    envelopes = [
        encode_event(event, FRAME, version=version, event_id=f"event-{version}")
        for version, event in enumerate(events, start=1)
    ]

    at_once = fold(SHELF, SHELF.initial, envelopes)

    assert fold(SHELF, fold(SHELF, SHELF.initial, envelopes[:cut]), envelopes[cut:]) == at_once
    assert at_once.numbers == tuple(numbers)


def test_nothing_is_decided_on_an_event_that_this_release_does_not_know() -> None:
    known = encode_event(assigned(1), FRAME, version=1, event_id="event-1")

    with pytest.raises(NewerEventError, match=r"registry\.Later\.v9"):
        fold(SHELF, SHELF.initial, [msgspec.structs.replace(known, type="registry.Later.v9")])
