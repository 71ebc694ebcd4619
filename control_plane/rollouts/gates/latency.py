"""The gate on slow requests."""

from typing import ClassVar

import msgspec

from control_plane.rollouts.gates.base import Problem, Terms, duration_problems, increase_problems, increase_terms
from schemas.events.rollouts import LatencyGate


class LatencyRule(msgspec.Struct, frozen=True):
    """The share of requests over a threshold may exceed the concurrent baseline's by a limit at most.

    A share over a fixed threshold, rather than a quantile, has bounds that hold at any time and at any traffic.
    """

    kind: ClassVar[str] = "latency"
    compares_over_time: ClassVar[bool] = False
    gate: LatencyGate

    def problems(self) -> tuple[Problem, ...]:
        return (*duration_problems("threshold_ms", self.gate.threshold_ms), *increase_problems(self.gate))

    def terms(self) -> Terms:
        subject = f"requests over {self.gate.threshold_ms:g} ms"
        return increase_terms(self.kind, self.gate, subject, unit="requests")
