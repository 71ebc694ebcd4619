"""What every copy of the log promises those who read it; each copy's own test runs all of it."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import pytest

from control_plane.event_store.codec import EventFrame, encode_event
from control_plane.log.errors import LogUnreadableError
from control_plane.log.ports import LoggedEvent, LogReader
from control_plane.log.reading import batches_of, event_at, events_of
from schemas.envelope import encode
from tests.support.store import assigned, context, model_id

FRAME = EventFrame(context=context(), stream=model_id(1), time="2026-01-02T03:04:05.678Z")


class CopyOfLog(Protocol):
    """A copy of the log as these tests use it."""

    @property
    def reader(self) -> LogReader:
        """The adapter."""

    async def append(self, events: Sequence[LoggedEvent]) -> None:
        """Write events as whoever keeps this copy does."""

    async def remove(self) -> None:
        """Take the log away from under its reader."""


def event(position: int, version: int) -> LoggedEvent:
    envelope = encode_event(assigned(version), FRAME, version=version, event_id=f"event-{version}")
    return LoggedEvent(position, envelope.stream, version, envelope.type, encode(envelope))


# Positions have gaps where a group of commands was rolled back.
LOG = [event(position, version) for version, position in enumerate((1, 2, 3, 7, 8), start=1)]


async def events_come_in_order_with_the_bytes_that_were_written(log: CopyOfLog) -> None:
    await log.append(LOG)

    assert await log.reader.read(after=0, limit=100) == LOG
    assert await log.reader.head() == 8
    assert [each async for each in events_of(log.reader)] == LOG


async def a_read_gives_no_more_than_it_was_asked_for_and_the_next_one_goes_on(log: CopyOfLog) -> None:
    await log.append(LOG)

    batches = [batch async for batch in batches_of(log.reader, limit=2)]

    assert [each for batch in batches for each in batch] == LOG
    assert max(map(len, batches)) <= 2
    assert await log.reader.read(after=8, limit=2) == []


async def reading_may_begin_anywhere(log: CopyOfLog) -> None:
    await log.append(LOG)

    for after in (7, 2, 4, 0):
        expected = [each for each in LOG if each.position > after]
        assert [each async for batch in batches_of(log.reader, after=after) for each in batch] == expected
        assert await log.reader.read(after=after, limit=1) == expected[:1]
    assert await event_at(log.reader, 7) == LOG[3]
    assert await event_at(log.reader, 5) is None


async def an_empty_log_has_no_events(log: CopyOfLog) -> None:
    assert await log.reader.read(after=0, limit=100) == []
    assert await log.reader.head() == 0


async def there_is_nothing_beyond_the_head(log: CopyOfLog) -> None:
    await log.append(LOG[:4])

    assert await log.reader.read(after=9, limit=100) == []
    await log.append(LOG[4:])

    assert await log.reader.read(after=9, limit=100) == []
    assert await log.reader.read(after=7, limit=100) == LOG[4:]


async def what_is_appended_meanwhile_is_read_once(log: CopyOfLog) -> None:
    found: list[LoggedEvent] = []
    assert await log.reader.read(after=0, limit=2) == []
    for first in range(0, len(LOG), 2):
        await log.append(LOG[first : first + 2])
        found += await log.reader.read(after=found[-1].position if found else 0, limit=1)
    async for batch in batches_of(log.reader, after=found[-1].position):
        found += batch

    assert found == LOG
    assert await log.reader.head() == 8


async def a_look_at_the_head_disturbs_no_reading(log: CopyOfLog) -> None:
    await log.append(LOG[:4])
    first = await log.reader.read(after=0, limit=2)

    assert await log.reader.head() == 7
    assert first + await log.reader.read(after=2, limit=2) == LOG[:4]
    assert await log.reader.head() == 7
    await log.append(LOG[4:])
    assert await log.reader.read(after=7, limit=2) == LOG[4:]


async def a_log_that_was_taken_away_is_told(log: CopyOfLog) -> None:
    await log.append(LOG)
    await log.reader.read(after=0, limit=100)

    await log.remove()

    with pytest.raises(LogUnreadableError, match="cannot be read"):
        await log.reader.read(after=8, limit=1)
    with pytest.raises(LogUnreadableError, match="cannot be read"):
        await log.reader.head()


Promise = Callable[[CopyOfLog], Awaitable[None]]
PROMISES: tuple[Promise, ...] = (
    events_come_in_order_with_the_bytes_that_were_written,
    a_read_gives_no_more_than_it_was_asked_for_and_the_next_one_goes_on,
    reading_may_begin_anywhere,
    an_empty_log_has_no_events,
    there_is_nothing_beyond_the_head,
    what_is_appended_meanwhile_is_read_once,
    a_look_at_the_head_disturbs_no_reading,
    a_log_that_was_taken_away_is_told,
)
EACH_PROMISE = pytest.mark.parametrize("promise", PROMISES, ids=[promise.__name__ for promise in PROMISES])
