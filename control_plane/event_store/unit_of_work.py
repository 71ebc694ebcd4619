"""One command's view of the store: everything it does counts when it returns, and nothing when it raises."""

from collections.abc import Callable, Mapping, Sequence
from typing import cast

import msgspec

from control_plane.catalogue.kept import Kept, kept_contents, kept_stream, mark_of
from control_plane.event_store.codec import EventFrame, encode_event, fold, fold_own, to_stored
from control_plane.event_store.errors import StaleVersionError
from control_plane.event_store.folded_states import FoldedState
from control_plane.event_store.group import Group
from control_plane.keys.sealing import StagedKeys, open_sealed, seal
from control_plane.ports import (
    Actor,
    Aggregate,
    Catalogue,
    CommandContext,
    Loaded,
    State,
)
from schemas.envelope import Envelope, Sealed, rfc3339
from schemas.identifiers import Kind, kind_of, new_id

Randomness = Callable[[], int]
"""At least 74 random bits."""


class CommandUnit:
    """Implements the port `UnitOfWork` inside a group."""

    def __init__(self, group: Group, context: CommandContext, *, now_ms: int, randomness: Randomness) -> None:
        self.actor: Actor = context.actor
        self.now_ms = now_ms
        self.catalogue: Catalogue = group.database.catalogue
        self.head = group.head
        self._group = group
        self._context = context
        self._randomness = randomness
        self._time = rfc3339(now_ms)
        self._states: dict[str, FoldedState] = {}
        self._keys = StagedKeys(group.keys)
        self._subjects: dict[str, None] = {}

    def new_id(self, kind: Kind) -> str:
        return new_id(kind, now_ms=self.now_ms, randomness=self._randomness())

    def load(self, aggregate: Aggregate[State], stream: str) -> Loaded[State]:
        if kind_of(stream) not in (aggregate.kind, None):
            # Callers may send the id of anything; what another kind of stream holds is no history of this one.
            return Loaded(aggregate.initial, 0)
        known = self._known(aggregate, stream)
        if known.workspace != self.actor.workspace:
            return Loaded(aggregate.initial, 0)
        return Loaded(cast("State", known.state), known.version)

    def append(
        self,
        aggregate: Aggregate[State],
        stream: str,
        *,
        expected_version: int,
        events: Sequence[msgspec.Struct],
        event_ids: Sequence[str] = (),
    ) -> Loaded[State]:
        before = self._known(aggregate, stream)
        if before.version != expected_version or before.workspace != self.actor.workspace:
            # Another workspace's stream does not exist for this actor, so its version is not shown.
            found = before.version if before.workspace == self.actor.workspace else None
            raise StaleVersionError(stream=stream, expected=expected_version, found=found)
        if not events:
            return Loaded(cast("State", before.state), before.version)
        envelopes = self._envelopes(stream, expected_version, events, event_ids)
        state, kept = cast("State", before.state), list[tuple[Kept, Envelope]]()
        # Folding before storing proves that what is stored can be read back.
        for envelope in envelopes:
            after = fold_own(aggregate, state, [envelope])
            kept += ((each, envelope) for each in kept_contents(aggregate, state, after, last=envelope))
            state = after
        kept.append((kept_stream(aggregate, state, stream=stream), envelopes[-1]))
        # The rows go first: a taken name is the one refusal that a handler may want to go on after.
        self._keep(kept)
        positions = self._store(stream, envelopes)
        self._mark(kept, positions)
        self._remember(aggregate, stream, state, envelopes[-1].streamversion)
        return Loaded(state, envelopes[-1].streamversion)

    def seal(self, value: str, *, subject: str, event_id: str) -> Sealed:
        self._subjects[subject] = None
        return seal(value, key=self._keys.key_for(subject), event_id=event_id)

    def open(self, sealed: Sealed, *, event_id: str) -> str | None:
        key = self._keys.key(sealed.key_id)
        if key is not None:
            self._subjects[key.subject] = None
        return open_sealed(sealed, key=key, event_id=event_id)

    def keys_of(self, subject: str) -> tuple[str, ...]:
        return tuple(key.key_id for key in self._keys.keys_of(subject))

    def shred(self, subject: str) -> None:
        self._keys.shred(subject)

    @property
    def keys(self) -> StagedKeys:
        return self._keys

    @property
    def subjects(self) -> tuple[str, ...]:
        """Whose personal values this command saw, so that its kept answer can be erased with them."""
        return tuple(self._subjects)

    def finish(self) -> None:
        """Hand the command's changes to its group; called when its savepoint is released."""
        self._group.states.update(self._states)
        self._group.keys.take(self._keys)
        self._group.head = self.head

    def _known(self, aggregate: Aggregate[State], stream: str) -> FoldedState:
        known = self._states.get(stream) or self._group.state(stream)
        if known is None or known.aggregate is not aggregate:
            known = self._read(aggregate, stream)
            if known.version:
                # A stream that is not there belongs to no one yet, so no one's look at it is remembered.
                self._states[stream] = known
        return known

    def _read(self, aggregate: Aggregate[State], stream: str) -> FoldedState:
        envelopes = [event.envelope for event in self._group.database.stream(stream)]
        state = fold(aggregate, aggregate.initial, envelopes)
        workspace = envelopes[0].workspace if envelopes else self.actor.workspace
        return FoldedState(aggregate, workspace, state, len(envelopes))

    def _envelopes(
        self, stream: str, version: int, events: Sequence[msgspec.Struct], event_ids: Sequence[str]
    ) -> list[Envelope]:
        frame = EventFrame(context=self._context, stream=stream, time=self._time)
        ids = event_ids or [self.new_id(Kind.EVENT) for _ in events]
        return [
            encode_event(event, frame, version=version + number, event_id=event_id)
            for number, (event, event_id) in enumerate(zip(events, ids, strict=True), start=1)
        ]

    def _store(self, stream: str, envelopes: list[Envelope]) -> dict[str, int]:
        """Store events and return the position of each by its id."""
        try:
            positions = self._group.database.insert([to_stored(envelope) for envelope in envelopes])
        except StaleVersionError:
            self._group.forget(stream)
            raise
        self.head = positions[-1]
        return {envelope.id: position for envelope, position in zip(envelopes, positions, strict=True)}

    def _keep(self, kept: Sequence[tuple[Kept, Envelope]]) -> None:
        catalogue = self._group.database.catalogue
        for each, _ in kept:
            if each.row is None:
                catalogue.remove(each.kind, each.id, workspace=self.actor.workspace)
            else:
                catalogue.put(each.row)

    def _mark(self, kept: Sequence[tuple[Kept, Envelope]], positions: Mapping[str, int]) -> None:
        for each, last in kept:
            mark = mark_of(each, last=last, position=positions[last.id])
            if mark is not None:
                self._group.database.mark_document(mark)

    def _remember(self, aggregate: Aggregate[State], stream: str, state: State, version: int) -> None:
        self._states[stream] = FoldedState(aggregate, self.actor.workspace, state, version)
