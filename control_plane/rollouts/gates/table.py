"""The one table from a gate's parameters, by their kind, to the rule that judges."""

from collections.abc import Callable
from typing import Any

from control_plane.rollouts.gates.answers import AnswerTokensRule, BetweenTokensRule, FirstTokenRule, TruncationRule
from control_plane.rollouts.gates.base import GateRule
from control_plane.rollouts.gates.error_rate import CallerErrorRateRule, ErrorRateRule
from control_plane.rollouts.gates.latency import LatencyRule
from control_plane.rollouts.gates.loss import LossRule
from control_plane.rollouts.gates.quality import QualityRule
from control_plane.rollouts.gates.rating import RatingRule
from schemas.events.rollouts import (
    AnswerTokensGate,
    BetweenTokensGate,
    CallerErrorRateGate,
    ErrorRateGate,
    FirstTokenGate,
    Gate,
    LatencyGate,
    LossGate,
    QualityGate,
    RatingGate,
    TruncationGate,
)

RULES: dict[type, Callable[[Any], GateRule]] = {
    ErrorRateGate: ErrorRateRule,
    CallerErrorRateGate: CallerErrorRateRule,
    LatencyGate: LatencyRule,
    QualityGate: QualityRule,
    LossGate: LossRule,
    RatingGate: RatingRule,
    FirstTokenGate: FirstTokenRule,
    BetweenTokensGate: BetweenTokensRule,
    TruncationGate: TruncationRule,
    AnswerTokensGate: AnswerTokensRule,
}


def rule_of(gate: Gate) -> GateRule:
    """Return the rule of a gate."""
    return RULES[type(gate)](gate)
