"""How the log is read, whatever it is stored in: by the relay, the audit, a restore, the event feed and processes.

The log has copies: the store, which this process or another one writes, and the topic. Each is read through
`LogReader`. What only some readers need, and only some copies have, is in the two ports that extend it.
"""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol, TypeAlias

import msgspec

from schemas.documents.records import DocumentBase


class LoggedEvent(msgspec.Struct, frozen=True):
    """One entry of the log, not decoded: an auditor trusts nothing beside the bytes before comparing it with them."""

    position: int
    stream: str
    version: int
    type_name: str
    canonical: bytes


class LogReader(Protocol):
    """A copy of the log, read from one event loop by one reader at a time.

    Positions increase and may have gaps; bytes are those that were written. Each call sees what is there by then, so a
    reader that goes on after the last event it got misses none and sees none twice.

    Raises, in each of its methods:
        LogUnreadableError: the log cannot be read now.
        LogBrokenError: what is there is not an event.
    """

    async def read(self, *, after: int, limit: int) -> list[LoggedEvent]:
        """Return the first `limit` events after a position, in order; fewer only at the end of the log."""

    async def head(self) -> int:
        """Return the last position; 0 when the log is empty."""


class LogSelection(msgspec.Struct, frozen=True, kw_only=True):
    """Which events of a workspace, or of all, are wanted; an empty text lets everything through."""

    workspace: str | None
    stream: str = ""
    type: str = ""


class LogPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some of the log, in order; `head` is its last position, and after `read_until` there may be more."""

    events: list[LoggedEvent]
    head: int
    read_until: int


class SearchableLog(LogReader, Protocol):
    """The log with its indexes, for readers of some of it; many may read at once."""

    async def read_types(self, types: Sequence[str], *, after: int, limit: int) -> list[LoggedEvent]:
        """Return the first `limit` events of some types after a position, in order."""

    async def page(self, wanted: LogSelection, *, after: int, limit: int) -> LogPage:
        """Return at most `limit` wanted events after a position; all of the page is of one moment.

        A page may end before it is full: one that would look at too many events of other workspaces does.
        """


class LoggedDocument(DocumentBase, frozen=True, kw_only=True):
    """A document as the catalogue has it now; `body` is its JSON, empty where the catalogue has no row of it."""

    is_removed: bool
    stream_version: int
    body: bytes


Place: TypeAlias = tuple[int, str]
"""Where a document stands among all of them: the position of its event, and its id."""


class DocumentedLog(LogReader, Protocol):
    """The log and the documents that its events made, for whoever publishes both."""

    async def count(self, *, up_to: int) -> int:
        """Return how many events there are up to and at a position."""

    def one_moment(self) -> AbstractAsyncContextManager[None]:
        """Have everything that is read in the block be of one moment."""

    async def documents(self, *, after: Place, up_to: int, limit: int) -> list[LoggedDocument]:
        """Return documents in the order of their events, after one of them, up to and at a position."""

    async def catalogue_format(self) -> str | None:
        """Return the format of the documents, None in a store of a release that had no documents."""
