"""The gate on failed requests."""

from typing import ClassVar

import msgspec

from control_plane.rollouts.gates.base import Problem, Terms, compare, difference_problems, minimum_problems
from schemas.events.rollouts import Counts, ErrorRateGate, Verdict


class ErrorRateRule(msgspec.Struct, frozen=True):
    """The candidate's share of failed requests may exceed the concurrent baseline's by a limit at most."""

    kind: ClassVar[str] = "error_rate"
    compares_over_time: ClassVar[bool] = True
    gate: ErrorRateGate

    def problems(self) -> tuple[Problem, ...]:
        return (
            *difference_problems("max_increase", self.gate.max_increase),
            *minimum_problems("min_requests", self.gate.min_requests),
        )

    def judge(self, candidate: Counts, baseline: Counts, *, alpha: float) -> Verdict:
        terms = Terms(
            kind=self.kind,
            subject="error rate",
            unit="requests",
            worse="above",
            max_difference=self.gate.max_increase,
            min_trials=self.gate.min_requests,
        )
        return compare(terms, candidate, baseline, alpha=alpha)
