"""What those are told whose statements cannot be run, and what is counted."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from infra.metrics import Metrics
from projections.errors import QueriesBusy, QueryError, TooManyStatements
from projections.query.lane import QueryLane, QueryLimits
from projections.store import ClickHouseStore

NEVER_S = 3_600.0


@asynccontextmanager
async def lane_with(limits: QueryLimits, *, running: str = "", waiting: str = "") -> AsyncIterator[QueryLane]:
    """Open a lane where statements run and wait, each named by a letter for its principal."""
    lane = QueryLane(ClickHouseStore("http://127.0.0.1:9/default"), limits)
    async with AsyncExitStack() as places:
        for principal in running:
            await places.enter_async_context(lane.turn(principal))
        waits = [asyncio.create_task(taken(lane, principal)) for principal in waiting]
        await asyncio.sleep(0)
        yield lane
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
    await lane.close()


async def taken(lane: QueryLane, principal: str) -> None:
    async with lane.turn(principal):
        pass


async def test_what_is_above_a_principal_s_share_is_refused_with_the_limit() -> None:
    limits = QueryLimits(at_once=2, at_once_each=1, waiting_each=2, wait_seconds=NEVER_S)

    async with lane_with(limits, running="a", waiting="aa") as lane:
        with pytest.raises(TooManyStatements) as refused:
            await taken(lane, "a")

    detail = "you have 1 running and 2 waiting statements, which is the limit for one principal"
    assert refused.value.detail == detail
    assert "ROLLBOOK_API_SQL_WAITING_EACH" in str(refused.value.remedy)


async def test_another_principal_is_admitted_while_one_is_refused() -> None:
    limits = QueryLimits(at_once=2, at_once_each=1, waiting_each=2, wait_seconds=NEVER_S)

    async with lane_with(limits, running="a", waiting="aa") as lane:
        await taken(lane, "b")

        assert lane.statements() == {"running": 1, "waiting": 2}


async def test_without_a_place_to_wait_a_principal_still_has_its_running_share() -> None:
    async with lane_with(QueryLimits(at_once=1, waiting_each=0)) as lane:
        async with lane.turn("a"):
            assert lane.statements() == {"running": 1, "waiting": 0}
            with pytest.raises(TooManyStatements):
                await taken(lane, "a")

        assert lane.statements() == {"running": 0, "waiting": 0}


async def test_too_many_principals_are_told_that_the_lane_is_busy() -> None:
    limits = QueryLimits(at_once=1, waiting=2, wait_seconds=NEVER_S)

    async with lane_with(limits, running="a", waiting="bc") as lane:
        with pytest.raises(QueriesBusy):
            await taken(lane, "d")


@pytest.mark.parametrize(("late", "refusal"), [("a", TooManyStatements), ("b", QueriesBusy)])
async def test_a_wait_that_is_too_long_is_blamed_on_whoever_holds_the_places(
    late: str, refusal: type[QueryError]
) -> None:
    limits = QueryLimits(at_once=1, at_once_each=1, wait_seconds=0.0)

    async with lane_with(limits, running="a") as lane:
        with pytest.raises(refusal):
            await taken(lane, late)

        assert lane.statements() == {"running": 1, "waiting": 0}


async def test_statements_and_refusals_are_counted() -> None:
    limits = QueryLimits(at_once=1, waiting=2, waiting_each=1, wait_seconds=NEVER_S)

    async with lane_with(limits, running="a", waiting="ab") as lane:
        for principal in "abc":
            with pytest.raises(QueryError):
                await taken(lane, principal)

        assert lane.statements() == {"running": 1, "waiting": 2}
        assert lane.refused() == {"too-many-statements": 2, "queries-busy": 1}


async def test_the_metrics_show_statements_and_refusals() -> None:
    metrics = Metrics()
    lane = QueryLane(ClickHouseStore("http://127.0.0.1:9/default"), QueryLimits(at_once=1, waiting_each=0))

    lane.show_in(metrics)
    async with lane.turn("a"):
        with pytest.raises(TooManyStatements):
            await taken(lane, "a")
        value = metrics.registry.get_sample_value
        running = value("rollbook_sql_statements", {"state": "running"})
    refused = value("rollbook_sql_refused_total", {"code": "too-many-statements"})
    await lane.close()

    assert (running, refused) == (1.0, 1.0)
