"""Joins the query routes of all views to one ClickHouse; the API's composition root mounts them."""

import msgspec
from litestar import Router

from infra.clock import Clock, SystemClock
from projections.measurement import routes as measurement
from projections.predictions import routes as predictions
from projections.quality import routes as quality
from projections.query import routes as query
from projections.query.lane import QueryLane, QueryLimits
from projections.reading import Caller, Reader
from projections.resources import routes as resources
from projections.rollout_timeline import routes as rollout_timeline
from projections.serving_metrics import routes as serving_metrics
from projections.shadow_comparison import routes as shadow_comparison
from projections.store import ClickHouseStore

# Readers of the API, the judge among them. The SQL of people has connections of its own.
_CONNECTIONS = 6


class QueryRoutes(msgspec.Struct, frozen=True, kw_only=True):
    """The routers, and the connections under them. Connects on first use; close when the program ends."""

    routers: list[Router]
    store: ClickHouseStore
    reader: Reader
    lane: QueryLane

    async def is_reachable(self) -> bool:
        """Tell whether ClickHouse answers now (for a health report)."""
        return await self.store.is_reachable()

    async def close(self) -> None:
        """Wait for running queries and close the connections."""
        await self.lane.close()
        await self.store.close()


def query_routes(
    clickhouse_url: str, *, caller: Caller, clock: Clock | None = None, limits: QueryLimits | None = None
) -> QueryRoutes:
    """Build every query route. Opens nothing, so that the API starts while ClickHouse is away."""
    store = ClickHouseStore(clickhouse_url, connections=_CONNECTIONS)
    limits = limits or QueryLimits()
    lane = QueryLane(ClickHouseStore(clickhouse_url, connections=limits.at_once), limits)
    reader = Reader(store, clock=clock or SystemClock())
    views = (rollout_timeline, serving_metrics, quality, measurement, predictions, resources, shadow_comparison)
    return QueryRoutes(
        routers=[*(view.router(reader, caller) for view in views), query.router(lane, caller)],
        store=store,
        reader=reader,
        lane=lane,
    )
