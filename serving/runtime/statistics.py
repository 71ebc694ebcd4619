"""What a model has done since it was loaded; the source of the protocol's statistics and the metrics.

It all belongs to one thread, the event loop's.
"""

from bisect import bisect_left
from collections import Counter

import msgspec

LATENCY_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Total(msgspec.Struct):
    """How often something happened, and how long it took in total."""

    count: int = 0
    ns: int = 0

    def add(self, ns: int) -> None:
        self.count += 1
        self.ns += ns


class Statistics:
    """Requests come from callers, calls go to the engine, and rows are what it processes."""

    def __init__(self) -> None:
        self.success = Total()
        self.failure = Total()
        self.queue = Total()
        self.engine = Total()
        self.calls_by_rows: dict[int, Total] = {}
        self.rows = 0
        self.refused: Counter[int] = Counter()
        self.latencies = [0] * (len(LATENCY_BOUNDS_S) + 1)
        self.last_at_ms = 0

    @property
    def calls(self) -> int:
        return sum(total.count for total in self.calls_by_rows.values())

    def called(self, *, rows: int, took_ns: int) -> None:
        """Count a call of the engine."""
        self.rows += rows
        self.calls_by_rows.setdefault(rows, Total()).add(took_ns)

    def answered(self, *, queue_ns: int, engine_ns: int, at_ms: int) -> None:
        """Count an answered request."""
        self.queue.add(queue_ns)
        self.engine.add(engine_ns)
        self.success.add(queue_ns + engine_ns)
        self.latencies[bisect_left(LATENCY_BOUNDS_S, (queue_ns + engine_ns) / 1e9)] += 1
        self.last_at_ms = at_ms

    def failed(self, *, took_ns: int, at_ms: int) -> None:
        """Count a request on which the engine failed."""
        self.failure.add(took_ns)
        self.last_at_ms = at_ms
