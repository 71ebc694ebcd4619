"""The gates on failed requests, and on those that are refused as the caller's fault."""

from typing import ClassVar

import msgspec

from control_plane.rollouts.gates.base import Problem, Terms, compare, difference_problems, minimum_problems
from schemas.events.rollouts import CallerErrorRateGate, Counts, ErrorRateGate, Verdict


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


class CallerErrorRateRule(msgspec.Struct, frozen=True):
    """The candidate's share of requests refused with 4xx may exceed the concurrent baseline's by a limit at most.

    Callers are drawn at random, so they make the same mistakes on both: a difference is the version's.
    """

    kind: ClassVar[str] = "caller_error_rate"
    compares_over_time: ClassVar[bool] = False
    gate: CallerErrorRateGate

    def problems(self) -> tuple[Problem, ...]:
        return (
            *difference_problems("max_increase", self.gate.max_increase),
            *minimum_problems("min_requests", self.gate.min_requests),
        )

    def judge(self, candidate: Counts, baseline: Counts, *, alpha: float) -> Verdict:
        terms = Terms(
            kind=self.kind,
            subject="requests refused with 4xx",
            unit="requests",
            worse="above",
            max_difference=self.gate.max_increase,
            min_trials=self.gate.min_requests,
        )
        return compare(terms, candidate, baseline, alpha=alpha)
