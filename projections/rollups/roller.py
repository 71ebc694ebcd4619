"""Rolls up what is closed: minutes from the rows, hours from minutes, days from hours.

A minute is closed when the watermark has passed it, and due when more has arrived of it than it was made of: at first,
and again whenever something comes late. Each step may be cut short, repeated, or done by two programs at once: roll-ups
of one key replace each other, and the one that is made of more stays.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager

import structlog

from infra.clock import Clock
from projections.errors import StoreRefusedError, StoreUnavailableError, ViewUnavailable
from projections.reading import Reader
from projections.rollups.bookkeeping import Bookkeeping, Due
from projections.rollups.spans import DAY_MS, HOUR_MS, MINUTE_MS, PARTS, Kind, floor
from projections.rollups.statements import ROLLUPS
from projections.store import ClickHouseStore
from projections.watermarks.queries import watermarks
from projections.watermarks.watermark import Watermark, combined

# Rows that expire while they are read are not there any more for those that come late.
_EXPIRING_MS = HOUR_MS
_STATEMENT_S = 120
# What one statement reads.
_ROWS_AT_ONCE = 500_000
# Feedback on any time may come at any time: what one pass does again is bounded, and the youngest days are first.
_STATEMENTS_AGAIN = 4
_SETTINGS = {"max_partitions_per_insert_block": "0"}

_log = structlog.get_logger(__name__)


class Roller:
    """Keeps roll-ups complete. `kept_ms` is how long the rows of each kind are kept; older minutes are final."""

    def __init__(self, store: ClickHouseStore, *, clock: Clock, kept_ms: Mapping[Kind, int]) -> None:
        self._store = store
        self._clock = clock
        self._reader = Reader(store, clock=clock)
        self._book = Bookkeeping(store)
        self._kept_ms = kept_ms
        self.rolled_up: Counter[str] = Counter()
        self.failures = 0

    async def run(self, *, every_s: float, arrived: Callable[[], int]) -> None:
        """Roll up when something arrived or a minute ended, until cancelled; trouble is logged, counted, tried again.

        `arrived` grows with every row that this program counts as arrived.
        """
        done: tuple[int, int] | None = None
        while True:
            now = (arrived(), floor(self._clock.now_ms(), MINUTE_MS))
            if now != done:
                done = now if await self._roll_up_safely(until_ms=now[1]) else None
            await asyncio.sleep(every_s)

    async def roll_up(self) -> bool:
        """Roll up what is due now; return whether that was all that was due until the last full minute."""
        marks = await watermarks(self._reader, ("requests", "observations"))
        closing: dict[Kind, Watermark] = {
            "requests": marks["requests"],
            "predictions": combined([marks["requests"], marks["observations"]]),
        }
        return all([await self._roll_up(kind, mark) for kind, mark in closing.items()])

    async def _roll_up_safely(self, *, until_ms: int) -> bool:
        try:
            return await self.roll_up() and await self._is_closed(until_ms)
        except (StoreUnavailableError, ViewUnavailable) as error:
            _log.warning("rollup_postponed", error=str(error))
        except StoreRefusedError as error:
            _log.error("rollup_failed", error=str(error), store_code=error.store_code)
        self.failures += 1
        return False

    async def _is_closed(self, until_ms: int) -> bool:
        kinds: tuple[Kind, ...] = ("requests", "predictions")
        return all([await self._book.until(kind, MINUTE_MS) >= until_ms for kind in kinds])

    async def _roll_up(self, kind: Kind, mark: Watermark) -> bool:
        if mark.watermark_ms is None:
            return True
        oldest_ms = self._clock.now_ms() - self._kept_ms[kind] + _EXPIRING_MS
        until_ms = await self._book.until(kind, MINUTE_MS)
        # A watermark that went back, as a new source does, takes nothing back.
        closed_ms = max(until_ms, floor(mark.watermark_ms + 1, MINUTE_MS))
        due = await self._book.due_minutes(kind, from_ms=oldest_ms, until_ms=closed_ms)
        for minutes in _in_parts(one for one in due if one.start_ms >= until_ms):
            await self._store_minutes(kind, minutes)
            await self._book.write_until(kind, MINUTE_MS, minutes[-1].start_ms + MINUTE_MS)
        if closed_ms > until_ms:
            await self._book.write_until(kind, MINUTE_MS, closed_ms)
        again = _in_parts(one for one in due if one.start_ms < until_ms)
        for minutes in list(reversed(again))[:_STATEMENTS_AGAIN]:
            await self._store_minutes(kind, minutes)
        for span_ms, part_ms in PARTS.items():
            await self._roll_up_longer(kind, span_ms, part_ms=part_ms, oldest_ms=oldest_ms)
        return len(again) <= _STATEMENTS_AGAIN

    async def _store_minutes(self, kind: Kind, minutes: Sequence[Due]) -> None:
        period = {"from_ms": minutes[0].start_ms, "until_ms": minutes[-1].start_ms + MINUTE_MS}
        for rollup in (one for one in ROLLUPS if one.kind == kind):
            await self._store.command(rollup.store_minutes(), {**period, **_made_of(minutes)}, _SETTINGS)
        await self._written(kind, MINUTE_MS, minutes)

    async def _roll_up_longer(self, kind: Kind, span_ms: int, *, part_ms: int, oldest_ms: int) -> None:
        until_ms = floor(await self._book.until(kind, part_ms), span_ms)
        # The parts of the day before may have been rolled up just before they became final.
        from_ms = floor(oldest_ms, DAY_MS) - DAY_MS
        lengths = {"span_ms": span_ms, "part_ms": part_ms}
        due = await self._book.due_spans(kind, **lengths, from_ms=from_ms, until_ms=until_ms)
        for spans in _in_parts(due):
            period = {"from_ms": spans[0].start_ms, "until_ms": spans[-1].start_ms + span_ms}
            for rollup in (one for one in ROLLUPS if one.kind == kind):
                await self._store.command(rollup.store_spans(), {**lengths, **period, **_made_of(spans)}, _SETTINGS)
            await self._written(kind, span_ms, spans)
        if until_ms > await self._book.until(kind, span_ms):
            await self._book.write_until(kind, span_ms, until_ms)

    async def _written(self, kind: Kind, span_ms: int, spans: Sequence[Due]) -> None:
        await self._book.write_spans(kind, span_ms, spans)
        self.rolled_up[kind] += len(spans)


@asynccontextmanager
async def rolling_on(clickhouse_url: str, *, clock: Clock, kept_days: Mapping[str, int]) -> AsyncIterator[Roller]:
    """Open a roller with connections of its own: a long statement holds up no insert."""
    kept_ms: dict[Kind, int] = {
        "requests": kept_days["request_records"] * DAY_MS,
        # Answers that expired earlier are not taken back.
        "predictions": min(kept_days["prediction_index"], kept_days["feedback"]) * DAY_MS,
    }
    store = ClickHouseStore(clickhouse_url, connections=2, answer_s=_STATEMENT_S)
    try:
        yield Roller(store, clock=clock, kept_ms=kept_ms)
    finally:
        await store.close()


def _in_parts(due: Iterable[Due]) -> list[list[Due]]:
    """Cut spans, which are in the order of time, so that a part is within a day and has not too many rows."""
    parts: list[list[Due]] = []
    day_ms, rows = -1, 0
    for one in due:
        if floor(one.start_ms, DAY_MS) != day_ms or rows + one.arrived > _ROWS_AT_ONCE:
            day_ms, rows = floor(one.start_ms, DAY_MS), 0
            parts.append([])
        parts[-1].append(one)
        rows += one.arrived
    return parts


def _made_of(due: Sequence[Due]) -> dict[str, list[int]]:
    return {"starts": [one.start_ms for one in due], "made_from": [one.arrived for one in due]}
