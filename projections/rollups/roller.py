"""Rolls up what is closed: minutes from the rows, hours from minutes, days from hours.

A minute is closed when the watermark has passed it, and due when more has arrived of it than it was made of: at first,
and again whenever something comes late. Each step may be cut short, repeated, or done by two programs at once: roll-ups
of one key replace each other, and the one that is made of more stays.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager

import structlog

from infra.background import Background
from infra.clock import Clock
from projections.errors import StoreRefusedError, StoreUnavailableError, ViewUnavailable
from projections.reading import Reader
from projections.rollups.bookkeeping import Bookkeeping, Due
from projections.rollups.spans import DAY_MS, HOUR_MS, KINDS, MINUTE_MS, PARTS, Kind, floor
from projections.rollups.statements import ROLLUPS, Rollup
from projections.store import ClickHouseStore
from projections.watermarks.queries import watermarks
from projections.watermarks.watermark import combined
from schemas.measurement import Watermark

# Rows that expire while they are read are not there any more for those that come late.
_EXPIRING_MS = HOUR_MS
_STATEMENT_S = 120
# What one statement reads.
_ROWS_AT_ONCE = 500_000
# Feedback on any time may come at any time, so what one pass does again is bounded.
_STATEMENTS_AGAIN = 4
_SETTINGS = {"max_partitions_per_insert_block": "0"}

_log = structlog.get_logger(__name__)


class Roller:
    """Keeps roll-ups complete. `kept_ms` is how long the rows of each kind are kept; older minutes are final."""

    def __init__(
        self,
        store: ClickHouseStore,
        *,
        clock: Clock,
        kept_ms: Mapping[Kind, int],
        background: Background | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._reader = Reader(store, clock=clock)
        self._book = Bookkeeping(store)
        self._kept_ms = kept_ms
        self._background = background or Background()
        self._turn = 0
        self.rolled_up: Counter[str] = Counter()
        self.failures = 0

    async def run(self, *, every_s: float, arrived: Callable[[], int]) -> None:
        """Roll up when something arrived or a minute ended, until cancelled; trouble is logged, counted, tried again.

        `arrived` grows with every row that this program counts as arrived.
        """
        done: tuple[int, int] | None = None
        minute_ms = -1
        while True:
            now = (arrived(), floor(self._clock.now_ms(), MINUTE_MS))
            if now != done:
                failures = self.failures
                # Hours and days follow once a minute.
                done = now if await self._roll_up_safely(until_ms=now[1], with_longer=now[1] != minute_ms) else None
                minute_ms = now[1] if self.failures == failures else minute_ms
            await asyncio.sleep(every_s)

    async def roll_up(self, *, with_longer: bool = True) -> bool:
        """Roll up the minutes that are due, and the hours and days; return whether nothing more is due by now.

        Raises:
            StoreUnavailableError | StoreRefusedError: the first error; what it did not concern was rolled up.
        """
        marks = await watermarks(self._reader, ("requests", "observations"))
        closing: dict[Kind, Watermark] = {
            "requests": marks["requests"],
            "predictions": combined([marks["requests"], marks["observations"]]),
        }
        errors: list[Exception] = []
        self._turn += 1
        is_all = [
            await self._roll_up(kind, mark, errors, with_longer=with_longer)
            for kind, mark in closing.items()
            if mark.watermark_ms is not None
        ]
        if errors:
            raise errors[0]
        return all(is_all)

    async def _roll_up_safely(self, *, until_ms: int, with_longer: bool) -> bool:
        try:
            return await self.roll_up(with_longer=with_longer) and await self._is_closed(until_ms)
        except (StoreUnavailableError, ViewUnavailable) as error:
            _log.warning("rollup_postponed", error=str(error))
        except Exception as error:  # noqa: BLE001  rows are counted as they are until the next pass
            self._background.failed("projections-roll-up", error)
        self.failures += 1
        return False

    async def _is_closed(self, until_ms: int) -> bool:
        return all([await self._book.until(kind, MINUTE_MS) >= until_ms for kind in KINDS])

    async def _roll_up(self, kind: Kind, mark: Watermark, errors: list[Exception], *, with_longer: bool) -> bool:
        oldest_ms = self._clock.now_ms() - self._kept_ms[kind] + _EXPIRING_MS
        until_ms = await self._book.until(kind, MINUTE_MS)
        closed_ms = self._closed(mark, until_ms)
        due = await self._book.due_minutes(kind, from_ms=oldest_ms, until_ms=closed_ms)
        with _noting(errors):
            for minutes in _in_parts(one for one in due if one.start_ms >= until_ms):
                await self._store_minutes(kind, minutes)
                await self._book.write_until(kind, MINUTE_MS, minutes[-1].start_ms + MINUTE_MS)
            if closed_ms > until_ms:
                await self._book.write_until(kind, MINUTE_MS, closed_ms)
        again = _in_parts(one for one in due if one.start_ms < until_ms)
        for minutes in _taking_turns(again, self._turn):
            with _noting(errors):
                await self._store_minutes(kind, minutes)
        for span_ms, part_ms in PARTS.items() if with_longer else ():
            with _noting(errors):
                await self._roll_up_longer(kind, span_ms, part_ms=part_ms, oldest_ms=oldest_ms)
        return len(again) <= _STATEMENTS_AGAIN

    def _closed(self, mark: Watermark, until_ms: int) -> int:
        """Return up to when minutes are closed: no watermark takes one back, or closes one that has not passed here."""
        return max(until_ms, floor(min((mark.watermark_ms or 0) + 1, self._clock.now_ms()), MINUTE_MS))

    async def _store_minutes(self, kind: Kind, minutes: Sequence[Due]) -> None:
        await self._store_each(kind, MINUTE_MS, minutes, Rollup.store_minutes)

    async def _roll_up_longer(self, kind: Kind, span_ms: int, *, part_ms: int, oldest_ms: int) -> None:
        until_ms = floor(await self._book.until(kind, part_ms), span_ms)
        # The parts of the day before may have been rolled up just before they became final.
        from_ms = floor(oldest_ms, DAY_MS) - DAY_MS
        lengths = {"span_ms": span_ms, "part_ms": part_ms}
        due = await self._book.due_spans(kind, **lengths, from_ms=from_ms, until_ms=until_ms)
        for spans in _in_parts(due):
            await self._store_each(kind, span_ms, spans, Rollup.store_spans, lengths)
        if until_ms > await self._book.until(kind, span_ms):
            await self._book.write_until(kind, span_ms, until_ms)

    async def _store_each(
        self,
        kind: Kind,
        span_ms: int,
        spans: Sequence[Due],
        statement_of: Callable[[Rollup], str],
        lengths: Mapping[str, int] | None = None,
    ) -> None:
        parameters = {
            **(lengths or {}),
            "from_ms": spans[0].start_ms,
            "until_ms": spans[-1].start_ms + span_ms,
            "starts": [one.start_ms for one in spans],
            "made_from": [one.arrived for one in spans],
        }
        for rollup in (one for one in ROLLUPS if one.kind == kind):
            await self._store.command(statement_of(rollup), parameters, _SETTINGS)
        await self._book.write_spans(kind, span_ms, spans)
        self.rolled_up[kind] += len(spans)


@asynccontextmanager
async def rolling_on(
    clickhouse_url: str, *, clock: Clock, kept_days: Mapping[str, int], background: Background
) -> AsyncIterator[Roller]:
    """Open a roller with connections of its own: a long statement holds up no insert."""
    kept_ms: dict[Kind, int] = {
        "requests": kept_days["request_records"] * DAY_MS,
        # Answers that expired earlier are not taken back.
        "predictions": min(kept_days["prediction_index"], kept_days["feedback"]) * DAY_MS,
    }
    store = ClickHouseStore(clickhouse_url, connections=2, answer_s=_STATEMENT_S)
    try:
        yield Roller(store, clock=clock, kept_ms=kept_ms, background=background)
    finally:
        await store.close()


@contextmanager
def _noting(errors: list[Exception]) -> Iterator[None]:
    """Note an error of ClickHouse, so that what it does not concern goes on."""
    try:
        yield
    except (StoreUnavailableError, StoreRefusedError) as error:
        errors.append(error)


def _in_parts(due: Iterable[Due]) -> list[list[Due]]:
    """Cut spans, which are in the order of time, so that a part is within a day and its statement reads not too much.

    A statement reads what is between its minutes too, which is taken to be as much for each as there arrived of them.
    """
    parts: list[list[Due]] = []
    rows = 0
    for one in due:
        if parts and floor(one.start_ms, DAY_MS) == floor(parts[-1][0].start_ms, DAY_MS):
            minutes = (one.start_ms - parts[-1][-1].start_ms) // MINUTE_MS
            rows += max(1, minutes) * one.arrived
        if not parts or floor(one.start_ms, DAY_MS) != floor(parts[-1][0].start_ms, DAY_MS) or rows > _ROWS_AT_ONCE:
            rows = one.arrived
            parts.append([])
        parts[-1].append(one)
    return parts


def _taking_turns(parts: Sequence[list[Due]], turn: int) -> list[list[Due]]:
    """Choose the youngest part, and others in turn, so that each has its turn however much arrives of others."""
    if len(parts) <= _STATEMENTS_AGAIN:
        return list(parts)
    *others, youngest = parts
    at_once = _STATEMENTS_AGAIN - 1
    chosen = [others[(turn * at_once + number) % len(others)] for number in range(at_once)]
    return [youngest, *chosen]
