"""Asks of a machine what it can do: less traffic while the view of what it served falls behind."""

import time
from collections.abc import Callable

from rollbook import Rollbook, RollbookError
from rollbook_demo.narration import Narrator
from rollbook_demo.traffic import Traffic

LOOK_EVERY_S = 3.0
MAX_LAG_MS = 4_000
"""Less than a rollout's gates allow, 5 s by default: with records older than that they decide nothing."""
MIN_REQUESTS_PER_S = 20.0
_MIN_CATCH_UP_S = 15.0
_CATCH_UP_PER_LAG = 3
_METRICS_OF_MS = 60_000


class Pace:
    """Halves the rate of the traffic each time that the view stays behind, which only a slow machine makes it do."""

    def __init__(
        self,
        traffic: Traffic,
        narrator: Narrator,
        lag_ms: Callable[[], int | None],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin with the traffic as it is; `lag_ms` asks how far the view is behind, None if that is unknown."""
        self._traffic = traffic
        self._narrator = narrator
        self._lag_ms = lag_ms
        self._clock = clock
        self._looks_at = clock() + LOOK_EVERY_S
        self._has_been_behind = False

    def keep(self) -> None:
        """Look whether the view keeps up if it is time to, and slow down once it is behind twice in a row."""
        if self._clock() < self._looks_at:
            return
        lag_ms = self._lag_ms() or 0
        self._looks_at = self._clock() + LOOK_EVERY_S
        is_behind = lag_ms > MAX_LAG_MS
        if is_behind and self._has_been_behind:
            self._slow_down(lag_ms)
        else:
            self._has_been_behind = is_behind

    def _slow_down(self, lag_ms: int) -> None:
        slower = self._traffic.requests_per_s / 2
        if slower < MIN_REQUESTS_PER_S:
            return
        self._traffic.set_rate(slower)
        self._narrator.say(
            f"{slower:g} requests/s from now on: ClickHouse is {lag_ms / 1000:.0f} s behind, so this machine is too "
            "slow or too busy for more."
        )
        self._has_been_behind = False
        self._looks_at = self._clock() + max(_MIN_CATCH_UP_S, _CATCH_UP_PER_LAG * lag_ms / 1000)


def lag_of(rollbook: Rollbook, endpoint: str) -> Callable[[], int | None]:
    """Return a question for how far the records of an endpoint's requests are behind, in ms."""

    def ask() -> int | None:
        since_ms = int(time.time() * 1000) - _METRICS_OF_MS
        try:
            return rollbook.endpoints.metrics(endpoint, since_ms=since_ms, bucket_ms=_METRICS_OF_MS).watermark.lag_ms
        except RollbookError:
            return None

    return ask
