"""What the write side needs of its store, and what a feature tells the store of its aggregate."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from control_plane.log.ports import SearchableLog
from schemas.documents.records import DocumentBase
from schemas.envelope import RecordedEvent, Sealed
from schemas.events.access import Duty, Role
from schemas.events.registry import Signature, Tensor
from schemas.identifiers import Kind

State = TypeVar("State")
Answer = TypeVar("Answer")


class EventContext(msgspec.Struct, frozen=True, kw_only=True):
    """What stands around an event when it is folded; `at` is the envelope's RFC 3339 time."""

    event_id: str
    workspace: str
    stream: str
    version: int
    at: str
    actor: str


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """How a signature differs from what a file says of its model, and at which field."""

    field: str
    detail: str


class FileDescription(Protocol):
    """What a file says of its model, seen from outside. Without inputs or outputs, it does not state them."""

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """The inputs that a signature may state."""
        ...

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        """The outputs that a signature may state."""
        ...

    def difference_from(self, signature: Signature) -> Difference | None:
        """Say why no instance of this file could keep what a signature promises; None where it may."""
        ...


class CatalogueRow(msgspec.Struct, frozen=True, kw_only=True):
    """The current state of one stream, as search and lists see it.

    `name`, where given, is unique within (workspace, kind, scope) without regard to case. `body` is the JSON of the
    resource; personal values in it stay sealed.
    """

    workspace: str
    kind: Kind
    id: str
    name: str | None
    scope: str = ""
    parent_id: str | None = None
    number: int | None = None
    phase: str = ""
    created_at: str
    stream_version: int
    body: bytes


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """A large part of a stream's document that never changes, as a document of its own; `body` is its JSON."""

    id: str
    kind: Kind
    body: bytes


class DocumentMark(DocumentBase, frozen=True, kw_only=True):
    """That a row of the catalogue is a document, or was one until it was removed, and the event that made it so."""

    is_removed: bool


class Aggregate(msgspec.Struct, Generic[State], frozen=True, kw_only=True):
    """How one kind of stream is folded and catalogued; all functions are pure.

    `evolve` never refuses. `row` returns None for a stream that has nothing to show (no events, or deleted). `body` is
    the struct whose JSON is the body of the rows. `is_followed` says of a state whether the body is a document that
    programs follow on `serving.state.v1`, or one that was removed there; None for a kind that has no documents.
    `contents` are the parts that the document of a state refers to; None for a kind without such parts.
    """

    kind: Kind
    body: type[msgspec.Struct]
    initial: State
    evolve: Callable[[State, msgspec.Struct, EventContext], State]
    row: Callable[[State], CatalogueRow | None]
    is_followed: Callable[[State], bool] | None = None
    contents: Callable[[State], Sequence[Content]] | None = None


class Loaded(msgspec.Struct, Generic[State], frozen=True):
    """A folded state and the stream version it stands at; version 0 means that the stream does not exist."""

    state: State
    version: int


class Actor(msgspec.Struct, frozen=True, kw_only=True):
    """Who acts, as the request's token says. A service with a duty may only do what belongs to it."""

    principal_id: str
    role: Role
    workspace: str
    duty: Duty | None = None


class HasHome(Protocol):
    """Knows the home workspace, which is there without events."""

    @property
    def home(self) -> str:
        """Its name."""


class Catalogue(Protocol):
    """Current rows, read in the same transaction as the events they come from."""

    def id_of(self, kind: Kind, name: str, *, workspace: str, scope: str = "") -> str | None:
        """Return the id that holds a name, compared without regard to case."""

    def get(self, kind: Kind, identifier: str, *, workspace: str) -> CatalogueRow | None:
        """Return one current row by id."""

    def find(  # noqa: PLR0913  a query form; each filter is independent
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
        """Return rows ordered by id, those after `after_id`; an empty filter lets everything through."""

    def children(
        self, kind: Kind, parent_ids: Sequence[str], *, workspace: str, phases: Sequence[str] = ()
    ) -> list[CatalogueRow]:
        """Return all rows of some parents, each parent's ordered by id; without `phases`, those in any."""

    def of_all_workspaces(self, kind: Kind) -> list[CatalogueRow]:
        """Return all rows of a kind. Only what decides about access may ask across workspaces."""


class UnitOfWork(Protocol):
    """One command's view of the store; valid only while the command runs, in the writer's thread."""

    actor: Actor
    now_ms: int
    catalogue: Catalogue

    def new_id(self, kind: Kind) -> str:
        """Return a fresh id."""

    def load(self, aggregate: Aggregate[State], stream: str) -> Loaded[State]:
        """Fold a stream, the uncommitted events of this group included.

        Another workspace's stream, and one of another kind, is version 0.
        """

    def append(
        self,
        aggregate: Aggregate[State],
        stream: str,
        *,
        expected_version: int,
        events: Sequence[msgspec.Struct],
        event_ids: Sequence[str] = (),
    ) -> Loaded[State]:
        """Append events, update the stream's catalogue row and return the folded result.

        `event_ids` are given only where a sealed value was bound to them; otherwise they are made here.

        Raises:
            Conflict: the stream is not at `expected_version`, or the row's name is taken.
            Invalid: an event is larger than the log takes.
        """

    def seal(self, value: str, *, subject: str, event_id: str) -> Sealed:
        """Encrypt a personal value under the subject's key (made at first use), bound to the event."""

    def open(self, sealed: Sealed, *, event_id: str) -> str | None:
        """Decrypt a personal value, or return None when its key was shredded."""

    def keys_of(self, subject: str) -> tuple[str, ...]:
        """Return the ids of the subject's keys."""

    def shred(self, subject: str) -> None:
        """Delete the subject's keys forever, once this command is committed."""


class CommandContext(msgspec.Struct, frozen=True, kw_only=True):
    """What the rim knows of a command. `body_sha256` covers method, path and body; it tells a repeat from a misuse.

    `expected_version`, from If-Match, is checked by the handler that knows which stream it means.
    """

    actor: Actor
    command_id: str
    correlation_id: str
    causation_id: str
    idempotency_key: str | None
    body_sha256: str
    expected_version: int | None

    @classmethod
    def unasked(cls, actor: Actor, command_id: str) -> "CommandContext":
        """Return that of a command which no request and no event has caused."""
        return cls(
            actor=actor,
            command_id=command_id,
            correlation_id=command_id,
            causation_id=command_id,
            idempotency_key=None,
            body_sha256="",
            expected_version=None,
        )


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of a command, complete enough to be given again: status, body (JSON), stream version for the ETag."""

    status: int
    body: bytes
    stream_version: int | None


class Executed(msgspec.Struct, frozen=True, kw_only=True):
    """A reply with the log position that covers the command's events; `is_repeat` when it was answered before."""

    reply: Reply
    position: int
    is_repeat: bool


class EventStore(Protocol):
    """The log, and the one way to write it.

    Commands run one after another in one writer thread and are committed in groups; a failing command leaves nothing.
    When `execute` returns, its events are durable.
    """

    @property
    def log(self) -> SearchableLog:
        """The log, for reading it in the order of positions."""

    async def execute(self, context: CommandContext, command: Callable[[UnitOfWork], Reply]) -> Executed:
        """Run a command once per idempotency key.

        Raises:
            RollbookError: what the command raised; nothing was written.
            Conflict: `idempotency-key-reused`, the key was used with another body.
            Unavailable: the store cannot be written now, or the queue of commands is full.
        """

    async def react(
        self, process: str, position: int, context: CommandContext, reaction: Callable[[UnitOfWork], None]
    ) -> None:
        """Have a process react to the event at a position, unless it has; both are stored together.

        Raises:
            RollbookError: what the reaction raised; nothing was written.
            Unavailable: as for `execute`.
        """

    def reacted_until(self, process: str) -> int | None:
        """Return the position of the last event that a process is done with, None before its first."""

    def read_stream(self, stream: str, *, after_version: int = 0) -> list[RecordedEvent]:
        """Return one stream in version order."""

    def head(self) -> int:
        """Return the last position, 0 when the log is empty; safe from any thread."""

    def catalogue(self) -> Catalogue:
        """Return committed current rows, for reading outside a command; safe from any thread."""

    def open(self, sealed: Sealed, *, event_id: str) -> str | None:
        """Decrypt a personal value for showing it, or return None when its key was shredded."""


Aggregates = Mapping[Kind, Aggregate[Any]]
