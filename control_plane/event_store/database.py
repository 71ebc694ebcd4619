"""What the writer needs of a database; one implementation each for SQLite and, later, PostgreSQL."""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import msgspec
from eventsourcing.persistence import StoredEvent

from control_plane.ports import Catalogue, CatalogueRow, DocumentMark
from schemas.envelope import RecordedEvent
from schemas.identifiers import Kind


class AnswerKey(msgspec.Struct, frozen=True, kw_only=True):
    """Who asked, and under which idempotency key."""

    workspace: str
    principal_id: str
    idempotency_key: str


class StoredAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of a command that was carried out.

    `body` is encrypted under each of `sealed_under` (key ids, in the order of encrypting) where the command handled
    personal values; `bound_to` is the id that the encryption is bound to.
    """

    body_sha256: str
    status: int
    body: bytes
    sealed_under: tuple[str, ...]
    bound_to: str
    stream_version: int | None
    position: int
    expires_at_ms: int


class WritableCatalogue(Catalogue, Protocol):
    """The catalogue inside the writer's transaction."""

    def put(self, row: CatalogueRow) -> None:
        """Insert or replace a row; raises NameTakenError where another row holds the name."""

    def remove(self, kind: Kind, identifier: str, *, workspace: str) -> None:
        """Delete a row; repeating it changes nothing."""


class Database(Protocol):
    """One connection that writes, used by one thread.

    Everything between entering and leaving `transaction` is committed together or not at all. Whatever the disk or the
    file refuses is raised as StoreUnavailableError, and nothing of the transaction is left.
    """

    @property
    def catalogue(self) -> WritableCatalogue:
        """The current rows, uncommitted changes included."""

    def transaction(self) -> AbstractContextManager[None]:
        """Begin; commit on leaving, durably; roll back on an exception."""

    def savepoint(self) -> AbstractContextManager[None]:
        """Undo on an exception what was written since entering, and only that."""

    def insert(self, events: Sequence[StoredEvent]) -> Sequence[int]:
        """Append and return the positions given; raises StaleVersionError where a (stream, version) exists."""

    def mark_document(self, mark: DocumentMark) -> None:
        """Have the row of a stream published after the event of the mark; the stream's earlier mark is replaced."""

    def stream(self, stream: str) -> list[RecordedEvent]:
        """Return one stream in version order, uncommitted events included."""

    def head(self) -> int:
        """Return the last position, 0 when there is none."""

    def has_reacted(self, process: str, position: int) -> bool:
        """Note that a process is done with the event at a position; False where it was before, and nothing is noted."""

    def answer(self, key: AnswerKey, *, now_ms: int) -> StoredAnswer | None:
        """Return the answer kept under a key that has not expired."""

    def keep_answer(self, key: AnswerKey, answer: StoredAnswer) -> None:
        """Keep an answer, in place of an expired one."""

    def forget_answers(self, *, now_ms: int) -> None:
        """Delete a bounded number of expired answers."""

    def order_shredding(self, key_ids: Iterable[str]) -> None:
        """Remember that these keys must be deleted, until `shredding_done`."""

    def ordered_shredding(self) -> list[str]:
        """Return the keys that must be deleted."""

    def shredding_done(self, key_ids: Iterable[str]) -> None:
        """Forget an order that was carried out."""
