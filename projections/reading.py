"""How the queries of all views read: with limits, with one kind of error, and up to a position."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NewType

import msgspec

from infra.clock import Clock
from projections.errors import StoreRefusedError, StoreUnavailableError, ViewStale, ViewUnavailable
from projections.store import ClickHouseStore
from schemas.results import ItemProblem

WorkspaceId = NewType("WorkspaceId", str)

MAX_WAIT_MS = 30_000
_POLL_S = 0.02
_LIMITS: Mapping[str, str] = {
    "max_execution_time": "10",
    # Ten thousand prediction ids in one IN list.
    "max_query_size": "2000000",
}
_NOT_MIGRATED = frozenset({60, 81})
_POSITION = "SELECT max(position) AS position FROM domain_events"


class OverTime(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of a view that is cut into time: since when, and in buckets of which length."""

    since_ms: int | None = None
    bucket_ms: int = 60_000


class Endpoints(msgspec.Struct, frozen=True, kw_only=True):
    """How the name or id of an endpoint, and the workspace, become the id; `unknown` is raised where there is none.

    `ids_of` returns the ids of many, each in its place, or why there is none.
    """

    id_of: Callable[[str, str], Awaitable[str]]
    ids_of: Callable[[Sequence[str], str], Awaitable[Sequence[str | ItemProblem]]]
    unknown: type[Exception]


class Reader:
    """Selects from the views. Every failure that a caller can meet is a `QueryError`."""

    def __init__(self, store: ClickHouseStore, *, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def now_ms(self) -> int:
        return self._clock.now_ms()

    async def select(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Return rows; `{name:Type}` is bound by the server, `%(name)s` by the client (for long lists).

        Raises:
            ViewUnavailable: ClickHouse is away, overloaded, or has not been migrated yet.
            StoreRefusedError: the statement is wrong, which is a fault of ours.
        """
        try:
            return await self._store.select(sql, parameters, _LIMITS)
        except StoreUnavailableError as error:
            raise unavailable() from error
        except StoreRefusedError as error:
            if error.store_code in _NOT_MIGRATED:
                raise unavailable() from error
            raise

    async def position(self) -> int:
        """Return the position of the log up to which the views of the registry hold everything."""
        rows = await self.select(_POSITION)
        return int(rows[0]["position"])

    async def wait_for(self, min_position: int | None, *, wait_ms: int) -> int:
        """Return the views' position once it is at least `min_position`.

        The writer is another process, so the position is polled, every 20 ms, and only while somebody waits.

        Raises:
            ViewStale: the position was not reached within `wait_ms`.
        """
        deadline = self._clock.monotonic() + min(wait_ms, MAX_WAIT_MS) / 1000
        while True:
            position = await self.position()
            if min_position is None or position >= min_position:
                return position
            if self._clock.monotonic() >= deadline:
                raise ViewStale(
                    f"the view is at position {position} and {min_position} was asked for",
                    field="min_position",
                    remedy="repeat the request, or allow more time with wait_ms",
                )
            await asyncio.sleep(_POLL_S)


def unavailable() -> ViewUnavailable:
    return ViewUnavailable("ClickHouse, which stores the views, does not answer", remedy="try again in a few seconds")
