"""The gates on failed requests, and on those that are refused as the caller's fault."""

from typing import ClassVar

import msgspec

from control_plane.rollouts.gates.base import Problem, Terms, increase_problems, increase_terms
from schemas.events.rollouts import CallerErrorRateGate, ErrorRateGate


class ErrorRateRule(msgspec.Struct, frozen=True):
    """The candidate's share of failed requests may exceed the concurrent baseline's by a limit at most."""

    kind: ClassVar[str] = "error_rate"
    compares_over_time: ClassVar[bool] = True
    gate: ErrorRateGate

    def problems(self) -> tuple[Problem, ...]:
        return increase_problems(self.gate)

    def terms(self) -> Terms:
        return increase_terms(self.kind, self.gate, "error rate", unit="requests")


class CallerErrorRateRule(msgspec.Struct, frozen=True):
    """The candidate's share of requests refused with 4xx may exceed the concurrent baseline's by a limit at most.

    If each request is assigned by itself, callers make the same mistakes on both: a difference is the version's.
    """

    kind: ClassVar[str] = "caller_error_rate"
    compares_over_time: ClassVar[bool] = False
    gate: CallerErrorRateGate

    def problems(self) -> tuple[Problem, ...]:
        return increase_problems(self.gate)

    def terms(self) -> Terms:
        return increase_terms(self.kind, self.gate, "requests refused with 4xx", unit="requests")
