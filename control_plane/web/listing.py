"""Pages of a list: the items, and the cursor of the next page where there is one."""

from typing import Annotated, Generic, Protocol, TypeVar

import msgspec


class HasId(Protocol):
    """A thing of a list."""

    @property
    def id(self) -> str:
        """By which lists are ordered."""


Item = TypeVar("Item", bound=HasId)

MAX_ITEMS = 1_000
DEFAULT_ITEMS = 100


class Paging(msgspec.Struct, frozen=True, kw_only=True):
    """Which part of a list is asked for: `cursor` is the `next` of the page before, `limit` at most 1,000 items."""

    cursor: str = ""
    limit: int = DEFAULT_ITEMS

    @property
    def size(self) -> int:
        """How many items the page has."""
        return max(1, min(self.limit, MAX_ITEMS))


class Search(Paging, frozen=True, kw_only=True):
    """Those whose name holds `query`."""

    query: Annotated[str, msgspec.Meta(max_length=200)] = ""


class Page(msgspec.Struct, Generic[Item], frozen=True, omit_defaults=True):
    """`next` is passed back as `cursor`; it is absent on the last page."""

    items: list[Item]
    next: str | None = None


def page(items: list[Item], asked: Paging) -> Page[Item]:
    """Return a page of what is ordered by its ids; a full one has another after it."""
    return Page(items=items, next=items[-1].id if len(items) == asked.size else None)
