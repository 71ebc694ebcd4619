"""What can be asked of a rollout; most arrive as bodies, as they are."""

import msgspec

from schemas.events.endpoints import VersionReference
from schemas.events.rollouts import Gate, Measurement, Strategy, WhenInconclusive
from schemas.texts import Reason


class StartRollout(msgspec.Struct, frozen=True, kw_only=True):
    endpoint_id: str
    endpoint_name: str
    candidate_deployment_id: str
    candidate: VersionReference
    baseline_deployment_id: str
    baseline: VersionReference
    replicas: int
    strategy: Strategy
    gates: tuple[Gate, ...]
    alpha: float
    when_inconclusive: WhenInconclusive
    warm_up_timeout_ms: int


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
    """Promote the candidate to all traffic now, whatever steps are left."""

    reason: Reason


class AbortRollout(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Abort a rollout and return all traffic to the baseline."""

    reason: Reason


Command = ReportWarmUp | JudgeStep | PauseRollout | ResumeRollout | PromoteRollout | AbortRollout
