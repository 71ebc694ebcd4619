"""The unit of work of commands over a log in memory, for handlers without a store."""

from collections.abc import Callable, Sequence
from typing import TypeVar, cast

import msgspec

from control_plane.errors import Conflict
from control_plane.ports import Actor, Aggregate, Catalogue, CatalogueRow, EventContext, Loaded, State, UnitOfWork
from schemas.envelope import Sealed, rfc3339
from schemas.identifiers import Kind, new_id
from tests.support.spec import BEGAN_MS, WORKSPACE, stored

Answer = TypeVar("Answer")


class MemoryCatalogue:
    """Rows by id, found as the port says."""

    def __init__(self, rows: dict[str, CatalogueRow]) -> None:
        self.rows = rows

    def id_of(self, kind: Kind, name: str, *, workspace: str, scope: str = "") -> str | None:
        wanted = (workspace, kind, scope, name.lower())
        for row in self.rows.values():
            if (row.workspace, row.kind, row.scope, (row.name or "").lower()) == wanted:
                return row.id
        return None

    def get(self, kind: Kind, identifier: str, *, workspace: str) -> CatalogueRow | None:
        row = self.rows.get(identifier)
        return row if row and (row.kind, row.workspace) == (kind, workspace) else None

    def find(  # noqa: PLR0913  the port's form
        self,
        kind: Kind,
        *,
        workspace: str,
        parent_id: str | None = None,
        phases: Sequence[str] = (),
        name_contains: str = "",
        number: int | None = None,
        after_id: str = "",
        limit: int = 100,
    ) -> list[CatalogueRow]:
        found = [
            row
            for row in self.rows.values()
            if (row.kind, row.workspace) == (kind, workspace)
            and parent_id in {None, row.parent_id}
            and (not phases or row.phase in phases)
            and name_contains.lower() in (row.name or "").lower()
            and number in {None, row.number}
            and row.id > after_id
        ]
        return sorted(found, key=lambda row: row.id)[:limit]

    def children(
        self, kind: Kind, parent_ids: Sequence[str], *, workspace: str, phases: Sequence[str] = ()
    ) -> list[CatalogueRow]:
        found = [
            row
            for row in self.rows.values()
            if (row.kind, row.workspace) == (kind, workspace)
            and row.parent_id in parent_ids
            and (not phases or row.phase in phases)
        ]
        return sorted(found, key=lambda row: (row.parent_id, row.id))

    def of_all_workspaces(self, kind: Kind) -> list[CatalogueRow]:
        found = [row for row in self.rows.values() if row.kind == kind]
        return sorted(found, key=lambda row: (row.workspace, row.id))


class MemoryLog:
    """All events of all streams, as they come back from a log. A command that raises leaves nothing."""

    def __init__(self) -> None:
        self.rows: dict[str, CatalogueRow] = {}
        self.catalogue: Catalogue = MemoryCatalogue(self.rows)
        self.actor = Actor(principal_id="principal-1", role="admin", workspace=WORKSPACE)
        self.now_ms = BEGAN_MS
        self.events: list[tuple[str, msgspec.Struct, EventContext]] = []
        self._ids = 0
        self._states: dict[str, Loaded[object]] = {}

    def run(self, command: Callable[[UnitOfWork], Answer]) -> Answer:
        """Carry out a command, a second after the one before."""
        self.now_ms += 1_000
        states, events, rows = dict(self._states), list(self.events), dict(self.rows)
        try:
            return command(self)
        except Exception:
            self._states, self.events = states, events
            self.rows.clear()
            self.rows.update(rows)
            raise

    def of(self, stream: str) -> list[msgspec.Struct]:
        """Return the events of a stream."""
        return [event for name, event, _ in self.events if name == stream]

    def replayed(self, aggregate: Aggregate[State], stream: str) -> State:
        """Fold a stream again from its events."""
        state = aggregate.initial
        for name, event, context in self.events:
            if name == stream:
                state = aggregate.evolve(state, event, context)
        return state

    def new_id(self, kind: Kind) -> str:
        self._ids += 1
        return new_id(kind, now_ms=self.now_ms, randomness=self._ids)

    def load(self, aggregate: Aggregate[State], stream: str) -> Loaded[State]:
        return cast("Loaded[State]", self._states.get(stream, Loaded(aggregate.initial, 0)))

    def append(
        self,
        aggregate: Aggregate[State],
        stream: str,
        *,
        expected_version: int,
        events: Sequence[msgspec.Struct],
        event_ids: Sequence[str] = (),  # noqa: ARG002  the port's form
    ) -> Loaded[State]:
        loaded = self.load(aggregate, stream)
        if loaded.version != expected_version:
            raise Conflict(f"{stream} is at {loaded.version}, not {expected_version}")
        state, version = loaded.state, loaded.version
        for event in map(stored, events):
            version += 1
            context = EventContext(
                event_id=self.new_id(Kind.EVENT),
                workspace=WORKSPACE,
                stream=stream,
                version=version,
                at=rfc3339(self.now_ms),
                actor=self.actor.principal_id,
            )
            state = aggregate.evolve(state, event, context)
            self.events.append((stream, event, context))
        self._states[stream] = Loaded(cast("object", state), version)
        row = aggregate.row(state)
        if row is None:
            self.rows.pop(stream, None)
        else:
            self.rows[row.id] = row
        return Loaded(state, version)

    def seal(self, value: str, *, subject: str, event_id: str) -> Sealed:
        raise NotImplementedError("no personal value is expected here")

    def open(self, sealed: Sealed, *, event_id: str) -> str | None:
        raise NotImplementedError("no personal value is expected here")

    def keys_of(self, subject: str) -> tuple[str, ...]:  # noqa: ARG002  the port's form
        return ()

    def shred(self, subject: str) -> None:
        raise NotImplementedError("no personal value is expected here")
