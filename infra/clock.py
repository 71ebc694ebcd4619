"""Time as a dependency: rims ask this clock, decisions get values."""

import time
from typing import Protocol


class Clock(Protocol):
    """Where a program gets its time from."""

    def now_ms(self) -> int:
        """Milliseconds since the Unix epoch, UTC; may jump when the machine's clock is set."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back; only differences mean something."""
        ...


class SystemClock:
    """The machine's clock."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()
