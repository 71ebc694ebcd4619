"""What readers of the log have in common: going through all of it, and finding one event."""

from collections.abc import AsyncIterator

from control_plane.log.ports import LoggedEvent, LogReader

_BATCH = 2_000


async def batches_of(log: LogReader, *, after: int = 0, limit: int = _BATCH) -> AsyncIterator[list[LoggedEvent]]:
    """Yield the log in order from a position to its end, with what is appended meanwhile."""
    while batch := await log.read(after=after, limit=limit):
        yield batch
        after = batch[-1].position


async def events_of(log: LogReader) -> AsyncIterator[LoggedEvent]:
    """Yield the whole log event by event."""
    async for batch in batches_of(log):
        for event in batch:
            yield event


async def event_at(log: LogReader, position: int) -> LoggedEvent | None:
    """Return the event at a position, None where there is none."""
    found = await log.read(after=position - 1, limit=1)
    return found[0] if found and found[0].position == position else None
