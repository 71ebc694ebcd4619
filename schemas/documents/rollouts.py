"""The document of a rollout."""

from typing import Literal

import msgspec

from schemas.events.endpoints import VersionReference
from schemas.events.rollouts import Gate, RegionAway, Strategy, Verdict, WhenInconclusive, WhenMissing, WhenRegionAway

Phase = Literal["warming", "stepping", "paused", "baking", "completed", "aborted"]


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """Where a rollout is, and why."""

    phase: Phase
    step: int | None
    epoch: int | None
    verdicts: tuple[Verdict, ...]
    reason: str
    stream_version: int


class Rollout(Standing, frozen=True, kw_only=True):
    """A rollout; `step` counts from 0, `weight_percent` is the candidate's, `verdicts` are those of the last decision.

    `epoch` names the endpoint's event that set the weight, None while the candidate is warmed. A gate may pass on
    records that lag by at most `max_lag_ms`. `held_by` are the regions that the step waits for, once it has waited for
    `region_grace_ms`; `excused` are those that it does not wait for. Without settings of their own, `when_late`,
    `when_no_data` and `when_too_little_data` are as `when_inconclusive`.
    """

    id: str
    endpoint_id: str
    endpoint_name: str
    weight_percent: float
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
    started_at: str
    step_started_at: str | None
    finished_at: str | None
    max_lag_ms: int = 5_000
    allow_signature_change: bool = False
    when_region_away: WhenRegionAway = "hold"
    region_grace_ms: int = 60_000
    held_by: tuple[RegionAway, ...] = ()
    excused: tuple[RegionAway, ...] = ()
    when_late: WhenInconclusive | None = None
    when_no_data: WhenMissing | None = None
    when_too_little_data: WhenMissing | None = None
