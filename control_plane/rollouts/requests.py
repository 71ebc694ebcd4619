"""The bodies that callers send, where they say something else than the command that they become."""

import msgspec

from schemas.events.rollouts import Canary, CanaryStep, ErrorRateGate, Gate, Strategy, WhenInconclusive
from schemas.texts import Reason

_MINUTE_MS = 60 * 1000

DEFAULT_CANARY = Canary(
    steps=tuple(
        CanaryStep(weight_percent=weight, min_duration_ms=5 * _MINUTE_MS, max_duration_ms=60 * _MINUTE_MS)
        for weight in (5.0, 25.0, 50.0, 100.0)
    ),
    bake_time_ms=5 * _MINUTE_MS,
)


DEFAULT_GATES = (ErrorRateGate(max_increase=0.02, min_requests=500),)


class StartRolloutRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Without a strategy: 5, 25, 50 and 100 %, five minutes to an hour each, then five minutes of bake time.

    Without gates: at most 2 points more failed requests than the baseline beside it, on at least 500 requests. What a
    request may take and which feedback is the truth only its owner knows.
    """

    endpoint: str
    version: str
    replicas: int = 1
    strategy: Strategy = DEFAULT_CANARY
    gates: tuple[Gate, ...] = DEFAULT_GATES
    alpha: float = 0.05
    when_inconclusive: WhenInconclusive = "pause"
    warm_up_timeout_ms: int = 10 * _MINUTE_MS


class RollbackRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Without an epoch, restore the traffic before the current one."""

    epoch: int | None = None
    reason: Reason
