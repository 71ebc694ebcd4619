from typing import cast

from control_plane.event_feed import operations
from control_plane.ports import EventStore
from schemas.envelope import RecordedEvent
from schemas.events.rollouts import RolloutPaused
from tests.support.log_story import event_at

STREAM = "rollout-1"
EVERYTHING = operations.Filter(workspace="default", stream=STREAM, type="")


class GrowingStore:
    """Has one more event of the stream each time after its head was read, as a busy store may."""

    def __init__(self) -> None:
        self._events: list[RecordedEvent] = []

    def head(self) -> int:
        head = len(self._events)
        self._events.append(event_at(head + 1, STREAM, RolloutPaused(step=0, reason="test")))
        return head

    def read_stream(self, stream: str, *, after_version: int = 0) -> list[RecordedEvent]:
        assert stream == STREAM
        return self._events[after_version:]


def test_an_event_that_is_committed_while_its_stream_is_read_comes_once() -> None:
    store, after, seen = cast("EventStore", GrowingStore()), 0, []

    for _ in range(3):
        page = operations._page(store, EVERYTHING, after=after, limit=10)  # noqa: SLF001  the race is in here
        seen += [item.position for item in page.items]
        after = page.read_until

    assert seen == [1, 2, 3]
