"""Pages of a list: the items, and the cursor of the next page where there is one."""

from typing import Annotated, Generic, TypeAlias, TypeVar

import msgspec
from litestar.params import QueryParameter

Item = TypeVar("Item")

# The framework keeps an argument called `query` for itself, so that routes give theirs another name.
Search: TypeAlias = Annotated[str, QueryParameter(name="query", max_length=200, description="a part of the name")]

MOST_ITEMS = 1_000
USUAL_ITEMS = 100


class Page(msgspec.Struct, Generic[Item], frozen=True, omit_defaults=True):
    """`next` is passed back as `cursor`; it is absent on the last page."""

    items: list[Item]
    next: str | None = None


def page_size(limit: int) -> int:
    """Return how many items a page has that was asked to have `limit`."""
    return max(1, min(limit, MOST_ITEMS))
