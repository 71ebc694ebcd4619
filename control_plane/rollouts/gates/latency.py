"""The gate on slow requests."""

from typing import ClassVar

import msgspec

from control_plane.rollouts.gates.base import Problem, compare, duration_problems, increase_problems, increase_terms
from schemas.events.rollouts import Counts, LatencyGate, Verdict


class LatencyRule(msgspec.Struct, frozen=True):
    """The share of requests over a threshold may exceed the concurrent baseline's by a limit at most.

    A share over a fixed threshold, rather than a quantile, has bounds that hold at any time and at any traffic.
    """

    kind: ClassVar[str] = "latency"
    compares_over_time: ClassVar[bool] = False
    gate: LatencyGate

    def problems(self) -> tuple[Problem, ...]:
        return (*duration_problems("threshold_ms", self.gate.threshold_ms), *increase_problems(self.gate))

    def judge(self, candidate: Counts, baseline: Counts, *, alpha: float) -> Verdict:
        subject = f"requests over {self.gate.threshold_ms:g} ms"
        terms = increase_terms(self.kind, self.gate, subject, unit="requests")
        return compare(terms, candidate, baseline, alpha=alpha)
