"""How often the relay publishes: at once after a quiet moment, gathered under many commands."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import cast

import pytest

from control_plane.event_store.log_file import LogFile, LoggedEvent
from control_plane.relay import relay as relay_module
from control_plane.relay.nudges import Nudges
from control_plane.relay.relay import Pace, Relay
from control_plane.relay.tail import Tail

BETWEEN_S = 0.02


class GrowingLog:
    """A log that has one more event at each millisecond since it was made."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def head(self) -> int:
        return 1 + int((time.monotonic() - self._began) * 1000)

    def count(self, *, up_to: int) -> int:
        return up_to

    def read(self, *, after: int, limit: int) -> list[LoggedEvent]:
        return [LoggedEvent(n, "s", n, "t", b"{}") for n in range(after + 1, min(self.head(), after + limit) + 1)]


class RecordingPublisher:
    """Keeps when each publication came, and what it held."""

    def __init__(self) -> None:
        self.published: list[tuple[float, list[int]]] = []

    async def publish(self, events: Sequence[LoggedEvent]) -> None:
        self.published.append((time.monotonic(), [event.position for event in events]))


async def test_under_many_commands_events_are_gathered(monkeypatch: pytest.MonkeyPatch) -> None:
    publisher, stopping = RecordingPublisher(), asyncio.Event()

    @asynccontextmanager
    async def opened(*_: object, **__: object) -> AsyncIterator[RecordingPublisher]:
        yield publisher

    async def empty(*_: object) -> Tail:
        return Tail(0, 0)

    monkeypatch.setattr(relay_module, "open_publisher", opened)
    monkeypatch.setattr(relay_module, "read_tail", empty)
    relay = Relay(
        cast("LogFile", GrowingLog()),
        "nowhere",
        nudges=Nudges(),
        when_caught_up=lambda: None,
        pace=Pace(between_seconds=BETWEEN_S),
    )
    running = asyncio.create_task(relay.run(stopping))

    while len(publisher.published) < 5:
        await asyncio.sleep(0)
    stopping.set()
    await running

    times = [at for at, _ in publisher.published]
    assert all(later - earlier >= BETWEEN_S * 0.9 for earlier, later in itertools.pairwise(times))
    positions = [position for _, part in publisher.published for position in part]
    assert positions == list(range(1, len(positions) + 1))
    assert len(positions) > len(times)
