"""Joins the operations of all views to one ClickHouse; the API's composition root mounts them."""

from collections.abc import Sequence

import msgspec

from infra.clock import Clock, SystemClock
from infra.operations import Operations
from projections.query.lane import QueryLane, QueryLimits
from projections.reading import Endpoints, Reader
from projections.store import ClickHouseStore
from projections.view import Access
from projections.views import TABLES, declare_views

# Readers of the API, including the judge. Users' SQL has its own connections.
_CONNECTIONS = 6


class Views(msgspec.Struct, frozen=True, kw_only=True):
    """The operations, and the connections under them. Connects on first use; close when the program ends."""

    operations: Sequence[Operations]
    store: ClickHouseStore
    reader: Reader
    lane: QueryLane

    async def is_reachable(self) -> bool:
        """Return whether ClickHouse answers now (for a health report)."""
        return await self.store.is_reachable()

    async def close(self) -> None:
        """Wait for running queries and close the connections."""
        await self.lane.close()
        await self.store.close()


def open_views(
    clickhouse_url: str,
    *,
    endpoints: Endpoints,
    clock: Clock | None = None,
    limits: QueryLimits | None = None,
) -> Views:
    """Join every view. Opens nothing, so that the API starts while ClickHouse is away."""
    store = ClickHouseStore(clickhouse_url, connections=_CONNECTIONS)
    limits = limits or QueryLimits()
    lane = QueryLane(ClickHouseStore(clickhouse_url, connections=limits.at_once), limits)
    reader = Reader(store, clock=clock or SystemClock())
    operations = declare_views(Access(reader=reader, tables=TABLES, endpoints=endpoints, lane=lane))
    return Views(operations=operations, store=store, reader=reader, lane=lane)
