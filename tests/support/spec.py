"""Tests of aggregates as sentences: given events, when a command is decided, then events or a refusal."""

from collections.abc import Callable, Sequence
from typing import Generic

import msgspec
import pytest

from control_plane.errors import RollbookError
from control_plane.ports import Aggregate, EventContext, State
from schemas.catalogue import TYPE_NAMES, decode_data
from schemas.envelope import encode_data, rfc3339

BEGAN_MS = 1_700_000_000_000
WORKSPACE = "default"


def stored(event: msgspec.Struct) -> msgspec.Struct:
    """Return the event as it comes back from the log."""
    read = decode_data(TYPE_NAMES[type(event)], encode_data(event))
    assert read is not None
    return read


class Given(Generic[State]):
    """A stream with a past. Each event is a second later than the one before, unless `at_ms` says otherwise."""

    def __init__(self, aggregate: Aggregate[State], *events: msgspec.Struct, stream: str = "stream-1") -> None:
        self._aggregate = aggregate
        self._stream = stream
        self.state = aggregate.initial
        self.version = 0
        for event in events:
            self.happens(event)

    def happens(self, *events: msgspec.Struct, at_ms: int | None = None) -> "Given[State]":
        for event in events:
            self.version += 1
            moment = BEGAN_MS + self.version * 1_000 if at_ms is None else at_ms
            context = EventContext(
                event_id=f"event-{self.version}",
                workspace=WORKSPACE,
                stream=self._stream,
                version=self.version,
                at=rfc3339(moment),
                actor="principal-1",
            )
            self.state = self._aggregate.evolve(self.state, stored(event), context)
        return self

    def when(self, decide: Callable[[State], Sequence[msgspec.Struct]]) -> "When[State]":
        return When(self, decide)


class When(Generic[State]):
    """A command on that stream, not yet decided."""

    def __init__(self, given: Given[State], decide: Callable[[State], Sequence[msgspec.Struct]]) -> None:
        self._given = given
        self._decide = decide

    def then(self, *expected: msgspec.Struct) -> None:
        assert list(self._decide(self._given.state)) == list(expected)

    def then_nothing(self) -> None:
        self.then()

    def then_events(self) -> list[msgspec.Struct]:
        return list(self._decide(self._given.state))

    def then_refused(self, error: type[RollbookError], *words: str, field: str | None = None) -> None:
        with pytest.raises(error) as caught:
            self._decide(self._given.state)
        assert all(word in caught.value.detail for word in words), caught.value.detail
        assert caught.value.field == field
        assert caught.value.remedy, "a refusal says what the caller can do"
