"""GET /v1/events: the log of a workspace, in order, as a long poll."""

import asyncio
import time
from functools import partial
from typing import Annotated

import msgspec

from control_plane.event_feed.commits import Commits
from control_plane.ports import EventStore
from infra.operations import READERS, Caller, Operations, Question
from schemas.envelope import RecordedEvent

_MAX_WAIT_MS = 30_000
_SCANNED_AT_ONCE = 5_000
_MAX_EVENTS = 1_000
_MAX_POSITION = 2**63 - 1


class LogEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An event's canonical JSON, beside its position."""

    position: int
    event: msgspec.Raw


class Feed(msgspec.Struct, frozen=True, kw_only=True):
    """Events in order; `head` is the log's last position, `read_until` that up to which the filter has looked.

    A caller goes on after `read_until`, also where `items` is empty.
    """

    items: list[LogEntry]
    head: int
    read_until: int


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Which events are wanted; an empty text lets everything through."""

    workspace: str
    stream: str
    type: str

    def wants(self, recorded: RecordedEvent) -> bool:
        """Whether an event is wanted."""
        envelope = recorded.envelope
        return (
            envelope.workspace == self.workspace
            and (not self.stream or envelope.stream == self.stream)
            and (not self.type or envelope.type == self.type)
        )


class ReadEvents(msgspec.Struct, frozen=True, kw_only=True):
    """From which position on, which events, and how long to wait for the first one."""

    after: Annotated[int, msgspec.Meta(ge=0, le=_MAX_POSITION)] = 0
    limit: Annotated[int, msgspec.Meta(ge=1, le=_MAX_EVENTS)] = 100
    stream: str = ""
    type: str = ""
    wait_ms: Annotated[int, msgspec.Meta(ge=0, le=_MAX_WAIT_MS)] = 0


def operations(store: EventStore, commits: Commits) -> Operations:
    """Declare them."""
    read = Question(
        method="GET",
        path="/v1/events",
        handler=partial(read_events, store, commits),
        sdk="log.read",
        asks=ReadEvents,
        answers=Feed,
        roles=READERS,
        summary="Read the log in order, waiting for the next event if there is none yet",
    )
    return Operations("log", [read])


async def read_events(store: EventStore, commits: Commits, caller: Caller, asked: ReadEvents) -> Feed:
    """Return the events after a position; where there is none, wait for one."""
    wanted = Filter(workspace=caller.workspace, stream=asked.stream, type=asked.type)
    deadline, after = time.monotonic() + asked.wait_ms / 1000, asked.after
    while True:
        feed = await asyncio.to_thread(_page, store, wanted, after=after, limit=asked.limit)
        remaining = deadline - time.monotonic()
        if feed.items or remaining <= 0 or commits.is_closing:
            return feed
        after = feed.read_until
        if after >= feed.head:
            await commits.wait_after(after, timeout_s=remaining)


def _page(store: EventStore, wanted: Filter, *, after: int, limit: int) -> Feed:
    # The head is read first: what is committed while the page is read belongs to the next one.
    head = store.head()
    if wanted.stream:
        found = [event for event in store.read_stream(wanted.stream) if event.position > after and wanted.wants(event)]
        # What was committed since the head was read is here as well, and must not come again.
        until = (
            found[limit - 1].position if len(found) >= limit else max(head, after, *(e.position for e in found[-1:]))
        )
        return _feed(found[:limit], head=head, read_until=until)
    items: list[RecordedEvent] = []
    # A rare type must not make one request read the whole log: the caller goes on from `read_until`.
    for event in store.read(after=after, limit=_SCANNED_AT_ONCE):
        after = event.position
        if wanted.wants(event):
            items.append(event)
        if len(items) == limit:
            break
    return _feed(items, head=head, read_until=after)


def _feed(items: list[RecordedEvent], *, head: int, read_until: int) -> Feed:
    fed = [LogEntry(position=event.position, event=msgspec.Raw(event.canonical)) for event in items]
    return Feed(items=fed, head=max(head, read_until), read_until=read_until)
