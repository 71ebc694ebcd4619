"""Runs users' SQL statements: few at once, fairly, and apart from the views that the judge and others wait for."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import msgspec

from infra.metrics import Metrics
from projections.errors import QueriesBusy, QueryError, TooManyStatements
from projections.query.fair_turns import FairTurns
from projections.store import ClickHouseStore


class QueryLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How many statements of people run at once, how long each, and how many may wait how long for their turn.

    `…_each` is the share of one principal. `wait_seconds` is more than `seconds`, or one long statement of another
    would use up the wait.
    """

    at_once: int = 2
    at_once_each: int = 1
    seconds: int = 10
    waiting: int = 32
    waiting_each: int = 4
    wait_seconds: float = 15.0


class QueryLane:
    """Takes statements, principal by principal in turn, to a store that only people's statements use."""

    def __init__(self, store: ClickHouseStore, limits: QueryLimits) -> None:
        self.store = store
        self.limits = limits
        self._turns = FairTurns(at_once=limits.at_once, at_once_each=limits.at_once_each)
        self._refused: Counter[str] = Counter({TooManyStatements.code: 0, QueriesBusy.code: 0})

    @asynccontextmanager
    async def turn(self, principal: str) -> AsyncIterator[ClickHouseStore]:
        """Wait for a place among the statements that run.

        Raises:
            TooManyStatements: as many of this principal's statements as may run and wait do so already.
            QueriesBusy: too many wait in all, or no place came free in time.
        """
        await self._admitted(principal)
        try:
            yield self.store
        finally:
            self._turns.release(principal)

    def statements(self) -> Mapping[str, float]:
        """Return how many statements run and wait now."""
        return {"running": self._turns.running, "waiting": self._turns.waiting}

    def refused(self) -> Mapping[str, float]:
        """Return how many statements were not run, by the code of the refusal."""
        return {**self._refused}

    def show_in(self, metrics: Metrics) -> None:
        """Show how many statements run, wait and were refused among a program's metrics."""
        meaning = "SQL statements of users, running and waiting."
        metrics.gauges("rollbook_sql_statements", meaning, label="state", read=self.statements)
        meaning = "SQL statements of users rejected because too many were running, by code."
        metrics.counters("rollbook_sql_refused", meaning, label="code", read=self.refused)

    async def close(self) -> None:
        """Wait for what is running and close the connections."""
        await self.store.close()

    async def _admitted(self, principal: str) -> None:
        limits, turns = self.limits, self._turns
        if turns.must_wait(principal):
            if turns.waiting_of(principal) >= limits.waiting_each:
                raise self._refusal(TooManyStatements(running=turns.running_of(principal), waiting=limits.waiting_each))
            if turns.waiting >= limits.waiting:
                raise self._refusal(QueriesBusy(limits.at_once))
        try:
            async with asyncio.timeout(limits.wait_seconds):
                await turns.acquire(principal)
        except TimeoutError:
            raise self._refusal(self._busy_error(principal)) from None

    def _busy_error(self, principal: str) -> QueryError:
        own = self._turns.running_of(principal)
        if own >= self.limits.at_once_each:
            return TooManyStatements(running=own, waiting=self._turns.waiting_of(principal) + 1)
        return QueriesBusy(self.limits.at_once)

    def _refusal(self, error: QueryError) -> QueryError:
        self._refused[error.code] += 1
        return error
