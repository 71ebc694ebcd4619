"""The gate on slow requests."""

from typing import ClassVar

import msgspec

from control_plane.rollouts.gates.base import (
    Problem,
    Terms,
    compare,
    difference_problems,
    duration_problems,
    minimum_problems,
)
from schemas.events.rollouts import Counts, LatencyGate, Verdict


class LatencyRule(msgspec.Struct, frozen=True):
    """The share of requests over a threshold may exceed the concurrent baseline's by a limit at most.

    A share over a fixed threshold, rather than a quantile, has bounds that hold at any time and at any traffic.
    """

    kind: ClassVar[str] = "latency"
    compares_over_time: ClassVar[bool] = False
    gate: LatencyGate

    def problems(self) -> tuple[Problem, ...]:
        return (
            *duration_problems("threshold_ms", self.gate.threshold_ms),
            *difference_problems("max_increase", self.gate.max_increase),
            *minimum_problems("min_requests", self.gate.min_requests),
        )

    def judge(self, candidate: Counts, baseline: Counts, *, alpha: float) -> Verdict:
        terms = Terms(
            kind=self.kind,
            subject=f"requests over {self.gate.threshold_ms:g} ms",
            unit="requests",
            worse="above",
            max_difference=self.gate.max_increase,
            min_trials=self.gate.min_requests,
        )
        return compare(terms, candidate, baseline, alpha=alpha)
