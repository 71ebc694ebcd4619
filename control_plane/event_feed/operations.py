"""GET /v1/events: the log of a workspace, in order, as a long poll."""

import asyncio
import time
from functools import partial
from typing import Annotated

import msgspec

from control_plane.event_feed.commits import Commits
from control_plane.log.ports import LogPage, LogSelection
from control_plane.ports import EventStore, HasHome
from control_plane.web.authentication import NotOfHomeError
from infra.operations import BATCHES, READERS, Caller, Content, Operations, Question

_MAX_WAIT_MS = 30_000
_MAX_EVENTS = 1_000
_MAX_POSITION = 2**63 - 1
_READING_ALL = frozenset({"admin", "service"})


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


class ReadEvents(msgspec.Struct, frozen=True, kw_only=True):
    """From which position on, which events, and how long to wait for the first one.

    `all_workspaces` is for admins and services of the home workspace; without it, the events are those of one.
    """

    after: Annotated[int, msgspec.Meta(ge=0, le=_MAX_POSITION)] = 0
    limit: Annotated[int, msgspec.Meta(ge=1, le=_MAX_EVENTS)] = 100
    stream: str = ""
    type: str = ""
    wait_ms: Annotated[int, msgspec.Meta(ge=0, le=_MAX_WAIT_MS)] = 0
    all_workspaces: bool = False


def operations(store: EventStore, commits: Commits, workspaces: HasHome) -> Operations:
    """Declare them."""
    read = Question(
        method="GET",
        path="/v1/events",
        handler=partial(read_events, store, commits, workspaces),
        sdk="log.read",
        asks=ReadEvents,
        answers=Feed,
        roles=READERS,
        duties=BATCHES,
        summary="Read the log in order, waiting for the next event if there is none yet",
        errors=(NotOfHomeError,),
    )
    return Operations("log", [read])


async def read_events(
    store: EventStore, commits: Commits, workspaces: HasHome, caller: Caller, asked: ReadEvents
) -> Content:
    """Return the events after a position; where there is none, wait for one."""
    if asked.all_workspaces and not (caller.workspace == workspaces.home and caller.role in _READING_ALL):
        raise NotOfHomeError(
            "this token reads the log of its own workspace only",
            field="all_workspaces",
            remedy=f"leave all_workspaces out, or use the token of an admin of {workspaces.home}",
        )
    workspace = None if asked.all_workspaces else caller.workspace
    wanted = LogSelection(workspace=workspace, stream=asked.stream, type=asked.type)
    deadline, after = time.monotonic() + asked.wait_ms / 1000, asked.after
    while True:
        page = await store.log.page(wanted, after=after, limit=asked.limit)
        remaining = deadline - time.monotonic()
        if page.events or remaining <= 0 or commits.is_closing:
            return await asyncio.to_thread(_shown, page)
        after = page.read_until
        if after >= page.head:
            await commits.wait_after(after, timeout_s=remaining)


def _shown(page: LogPage) -> Content:
    items = [LogEntry(position=each.position, event=msgspec.Raw(each.canonical)) for each in page.events]
    feed = Feed(items=items, head=max(page.head, page.read_until), read_until=page.read_until)
    return Content(body=msgspec.json.encode(feed))
