"""The bodies that callers send; all are closed, so a misspelt field is refused.

Events stay open, so that an older consumer can read them; here their shapes are closed by inheritance.
"""

from typing import TypeAlias

import msgspec

from control_plane.endpoints.requests import Reason
from control_plane.rollouts.commands import JudgeStep
from schemas.events.rollouts import (
    AnswerTokensGate,
    BetweenTokensGate,
    Canary,
    CanaryStep,
    Counts,
    ErrorRateGate,
    FirstTokenGate,
    Gate,
    GateCounts,
    LatencyGate,
    LossGate,
    Measurement,
    QualityGate,
    RatingGate,
    Strategy,
    TruncationGate,
    WhenInconclusive,
)

_MINUTE_MS = 60 * 1000


class ClosedStep(CanaryStep, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A step as callers send it."""


class ClosedCanary(Canary, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="canary"):
    """A canary as callers send it."""

    steps: tuple[ClosedStep, ...]


class ClosedErrorRateGate(
    ErrorRateGate, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="error_rate"
):
    """A gate as callers send it."""


class ClosedLatencyGate(
    LatencyGate, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="latency"
):
    """A gate as callers send it."""


class ClosedQualityGate(
    QualityGate, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="quality"
):
    """A gate as callers send it."""


class ClosedLossGate(LossGate, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="loss"):
    """A gate as callers send it."""


class ClosedRatingGate(
    RatingGate, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="rating"
):
    """A gate as callers send it."""


class ClosedFirstTokenGate(
    FirstTokenGate, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="first_token"
):
    """A gate as callers send it."""


class ClosedBetweenTokensGate(
    BetweenTokensGate, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="between_tokens"
):
    """A gate as callers send it."""


class ClosedTruncationGate(
    TruncationGate, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="truncation"
):
    """A gate as callers send it."""


class ClosedAnswerTokensGate(
    AnswerTokensGate, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="answer_tokens"
):
    """A gate as callers send it."""


ClosedGate: TypeAlias = (
    ClosedErrorRateGate
    | ClosedLatencyGate
    | ClosedQualityGate
    | ClosedLossGate
    | ClosedRatingGate
    | ClosedFirstTokenGate
    | ClosedBetweenTokensGate
    | ClosedTruncationGate
    | ClosedAnswerTokensGate
)

USUAL_CANARY = ClosedCanary(
    steps=tuple(
        ClosedStep(weight_percent=weight, min_duration_ms=5 * _MINUTE_MS, max_duration_ms=60 * _MINUTE_MS)
        for weight in (5.0, 25.0, 50.0, 100.0)
    ),
    bake_time_ms=5 * _MINUTE_MS,
)


USUAL_GATES = (ClosedErrorRateGate(max_increase=0.02, min_requests=500),)


class StartRolloutRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Without a strategy: 5, 25, 50 and 100 %, five minutes to an hour each, then five minutes of bake time.

    Without gates: at most 2 points more failed requests than the baseline beside it, on at least 500 requests. What a
    request may take and which feedback is the truth only its owner knows.
    """

    endpoint: str
    version: str
    replicas: int = 1
    strategy: ClosedCanary = USUAL_CANARY
    gates: tuple[ClosedGate, ...] = USUAL_GATES
    alpha: float = 0.05
    when_inconclusive: WhenInconclusive = "pause"
    warm_up_timeout_ms: int = 10 * _MINUTE_MS

    def plan(self) -> tuple[Strategy, tuple[Gate, ...]]:
        """Return strategy and gates as the event holds them."""
        strategy = msgspec.convert(msgspec.to_builtins(self.strategy), type=Strategy)
        return strategy, msgspec.convert(msgspec.to_builtins(self.gates), type=tuple[Gate, ...])


class ReasonRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why somebody takes a decision by hand; it is shown beside it for ever."""

    reason: Reason


class WarmUpRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    ready_instances: int
    elapsed_ms: int
    failure: Reason | None = None


class ClosedCounts(Counts, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Counts as the judge sends them."""


class ClosedGateCounts(GateCounts, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A gate's counts as the judge sends them."""

    candidate: ClosedCounts
    baseline: ClosedCounts


class MeasurementRequest(Measurement, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A measurement as the judge sends it."""

    counts: tuple[ClosedGateCounts, ...]

    def command(self) -> JudgeStep:
        """Return the command, with the measurement as the event holds it."""
        return JudgeStep(measurement=msgspec.convert(msgspec.to_builtins(self), type=Measurement))


class RollbackRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Without an epoch, to the traffic before the current one."""

    epoch: int | None = None
    reason: Reason
