"""A small aggregate and commands for tests that need a store with something in it."""

from collections.abc import Callable

import msgspec

from control_plane.errors import Refused
from control_plane.event_store.codec import to_recorded
from control_plane.ports import (
    Actor,
    Aggregate,
    Aggregates,
    CatalogueRow,
    CommandContext,
    Content,
    EventContext,
    EventStore,
    Reply,
    UnitOfWork,
)
from schemas.documents.contents import content_id
from schemas.envelope import RecordedEvent
from schemas.events.registry import ModelRegistered, VersionNumberAssigned
from schemas.identifiers import Kind, new_id

WORKSPACE = "default"


class Shelf(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a model stream as these tests fold it."""

    id: str = ""
    workspace: str = ""
    name: str = ""
    created_at: str = ""
    numbers: tuple[int, ...] = ()
    version: int = 0


def _evolve(state: Shelf, event: msgspec.Struct, context: EventContext) -> Shelf:
    match event:
        case ModelRegistered():
            state = Shelf(id=context.stream, workspace=context.workspace, name=event.name, created_at=context.at)
        case VersionNumberAssigned():
            state = msgspec.structs.replace(state, numbers=(*state.numbers, event.number))
        case _:
            pass
    return msgspec.structs.replace(state, version=context.version)


def _row(state: Shelf) -> CatalogueRow | None:
    if not state.id:
        return None
    return CatalogueRow(
        workspace=state.workspace,
        kind=Kind.MODEL,
        id=state.id,
        name=state.name,
        number=len(state.numbers),
        phase="empty" if not state.numbers else "used",
        created_at=state.created_at,
        stream_version=state.version,
        body=msgspec.json.encode({"id": state.id, "numbers": state.numbers}),
    )


PARTED = "parted"
"""A shelf of this name has a part, which alternates with every second number."""


def _contents(state: Shelf) -> list[Content]:
    if state.name != PARTED:
        return []
    body = msgspec.json.encode({"which": len(state.numbers) // 2 % 2})
    return [Content(id=content_id(state.id, body), kind=Kind.SIGNATURE, body=body)]


FULL = 3
"""A shelf with so many numbers is removed for those who follow it; with one more it is there again."""

SHELF: Aggregate[Shelf] = Aggregate(
    kind=Kind.MODEL,
    body=Shelf,
    initial=Shelf(),
    evolve=_evolve,
    row=_row,
    is_followed=lambda state: len(state.numbers) != FULL,
    contents=_contents,
)
AGGREGATES: Aggregates = {Kind.MODEL: SHELF}


def model_id(number: int) -> str:
    return new_id(Kind.MODEL, now_ms=1_700_000_000_000, randomness=number)


def context(
    *, key: str | None = None, body: str = "", principal: str = "principal-1", workspace: str = WORKSPACE
) -> CommandContext:
    return CommandContext(
        actor=Actor(principal_id=principal, role="admin", workspace=workspace),
        command_id="command-1",
        correlation_id="correlation-1",
        causation_id="command-1",
        idempotency_key=key,
        body_sha256=body,
        expected_version=None,
    )


def register(name: str, *, stream: str | None = None) -> Callable[[UnitOfWork], Reply]:
    """Make a command that appends two events to a stream of its own."""

    def command(unit: UnitOfWork) -> Reply:
        made = stream or unit.new_id(Kind.MODEL)
        events = (ModelRegistered(name=name, description="", tags={}), assigned(1))
        loaded = unit.append(SHELF, made, expected_version=0, events=events)
        return reply(loaded.state.id, loaded.version)

    return command


def assign(stream: str, *, expected: int | None = None) -> Callable[[UnitOfWork], Reply]:
    """Make a command that gives the next number."""

    def command(unit: UnitOfWork) -> Reply:
        shelf = unit.load(SHELF, stream)
        version = shelf.version if expected is None else expected
        loaded = unit.append(SHELF, stream, expected_version=version, events=[assigned(len(shelf.state.numbers) + 1)])
        return reply(list(loaded.state.numbers), loaded.version)

    return command


async def recorded(store: EventStore) -> list[RecordedEvent]:
    """Return what the log has by now, decoded."""
    return [to_recorded(event) for event in await store.log.read(after=0, limit=1_000)]


def look(stream: str) -> Callable[[UnitOfWork], Reply]:
    """Make a command that changes nothing."""

    def command(unit: UnitOfWork) -> Reply:
        loaded = unit.load(SHELF, stream)
        return reply(list(loaded.state.numbers), loaded.version)

    return command


def refuse_after(inner: Callable[[UnitOfWork], Reply]) -> Callable[[UnitOfWork], Reply]:
    """Make a command that does its work and is then refused."""

    def command(unit: UnitOfWork) -> Reply:
        inner(unit)
        raise Refused("no, after all")

    return command


def assigned(number: int) -> VersionNumberAssigned:
    return VersionNumberAssigned(version_id=f"version-{number}", number=number)


def reply(body: object, version: int | None) -> Reply:
    return Reply(status=200, body=msgspec.json.encode(body), stream_version=version)
