"""What can be asked of a rollout; most arrive as bodies, as they are."""

import msgspec

from schemas.events.rollouts import (
    Canary,
    CanaryStep,
    ErrorRateGate,
    Gate,
    Measurement,
    Strategy,
    WhenInconclusive,
    WhenMissing,
    WhenRegionAway,
)
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


class StartRollout(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Without a strategy: 5, 25, 50 and 100 %, five minutes to an hour each, then five minutes of bake time.

    Without gates: at most 2 points more failed requests than the baseline beside it, on at least 500 requests. What a
    request may take and which feedback is the truth only its owner knows. No gate passes while records of more than the
    last `max_lag_ms` are missing; one that fails on the records that are there fails all the same. A version that does
    not accept the inputs of the one that serves is only rolled out with `allow_signature_change`.

    A step begins when every region serves it. One that does not after `region_grace_ms` holds the step, or is excused
    where `when_region_away` says so.

    A step that is undecided after its longest duration ends as `when_inconclusive` says: it pauses or aborts. Late
    records (`when_late`) and gates with no data or too little (`when_no_data`, `when_too_little_data`) can have
    settings of their own. With `pass` the rollout goes on without such a gate. If gates differ, the strictest setting
    decides: abort before pause before pass.
    """

    endpoint: str
    version: str
    replicas: int = 1
    strategy: Strategy = DEFAULT_CANARY
    gates: tuple[Gate, ...] = DEFAULT_GATES
    alpha: float = 0.05
    when_inconclusive: WhenInconclusive = "pause"
    warm_up_timeout_ms: int = 10 * _MINUTE_MS
    max_lag_ms: int = 30 * 1000
    allow_signature_change: bool = False
    when_region_away: WhenRegionAway = "hold"
    region_grace_ms: int = 60 * 1000
    when_late: WhenInconclusive | None = None
    when_no_data: WhenMissing | None = None
    when_too_little_data: WhenMissing | None = None


class ReportWarmUp(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many of the candidate's instances are ready, so long after the start; `failure` says why none will be."""

    ready_instances: int
    elapsed_ms: int
    failure: Reason | None = None


class JudgeStep(msgspec.Struct, frozen=True, kw_only=True):
    """Decide on what was measured. Idempotent by (step, epoch, watermark)."""

    measurement: Measurement


class PauseRollout(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Pause a rollout at its current weights."""

    reason: Reason


class ResumeRollout(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Resume a paused rollout."""

    reason: Reason


class PromoteRollout(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Promote the candidate to all traffic now, whatever steps are left; complete a bake that waits for records."""

    reason: Reason


class AbortRollout(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Abort a rollout and return all traffic to the baseline."""

    reason: Reason


Command = ReportWarmUp | JudgeStep | PauseRollout | ResumeRollout | PromoteRollout | AbortRollout
