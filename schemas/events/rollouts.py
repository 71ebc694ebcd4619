"""Facts of rollouts: how an endpoint's traffic moved, and the evidence of each step."""

from typing import Literal, TypeAlias

import msgspec

from schemas.events.endpoints import VersionReference

Outcome: TypeAlias = Literal["pass", "fail", "undecided", "late", "no_data", "too_little_data"]
Direction: TypeAlias = Literal["above", "below"]
WhenInconclusive: TypeAlias = Literal["pause", "abort"]
WhenRegionAway: TypeAlias = Literal["hold", "excuse"]
WhenMissing: TypeAlias = Literal["pass", "pause", "abort"]


class CanaryStep(msgspec.Struct, frozen=True, kw_only=True):
    """One weight of the candidate; it ends between `min_duration_ms` and `max_duration_ms` after it was applied.

    The last step, 100 %, has no baseline beside it: it lasts the bake time, or its `min_duration_ms` if that is longer.
    """

    weight_percent: float
    min_duration_ms: int
    max_duration_ms: int


class Canary(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="canary"):
    """Raise the candidate's weight step by step; the last step is 100 % and is followed by the bake time."""

    steps: tuple[CanaryStep, ...]
    bake_time_ms: int


Strategy: TypeAlias = Canary


class ErrorRateGate(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="error_rate"):
    """The candidate's share of failed requests may exceed the baseline's by at most `max_increase` (0–1)."""

    max_increase: float
    min_requests: int


class CallerErrorRateGate(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="caller_error_rate"):
    """The candidate's share of requests refused with 4xx may exceed the baseline's by at most `max_increase` (0–1).

    A plan with an `error_rate` gate and without this one has it with the same limits, except on an endpoint that keeps
    callers on a version by a key of its own.
    """

    max_increase: float
    min_requests: int


class LatencyGate(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="latency"):
    """The share of requests slower than `threshold_ms` may exceed the baseline's by at most `max_increase` (0–1)."""

    threshold_ms: float
    max_increase: float
    min_requests: int


class QualityGate(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="quality"):
    """The candidate's accuracy may fall below the concurrent baseline's by at most `max_drop` (0–1).

    The truth of a prediction is the feedback called `feedback_name`.
    """

    feedback_name: str
    max_drop: float
    min_labels: int


class LossGate(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="loss"):
    """The share of predictions with a loss above `threshold` may exceed the baseline's by at most `max_increase` (0–1).

    The loss of a prediction is the feedback called `feedback_name`, a number: the lower the better.
    """

    feedback_name: str
    threshold: float
    max_increase: float
    min_labels: int


class RatingGate(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="rating"):
    """The share of predictions rated below `threshold` may exceed the baseline's by at most `max_increase` (0–1).

    The rating of a prediction is the feedback called `feedback_name`, a number: the higher the better.
    """

    feedback_name: str
    threshold: float
    max_increase: float
    min_labels: int


class FirstTokenGate(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="first_token"):
    """The share of streams that begin after `threshold_ms` may exceed the baseline's by at most `max_increase`, 0–1."""

    threshold_ms: float
    max_increase: float
    min_requests: int


class BetweenTokensGate(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="between_tokens"):
    """The share of streams over `threshold_ms` a token may exceed the baseline's by at most `max_increase` (0–1).

    The time between the tokens of a stream is their mean distance.
    """

    threshold_ms: float
    max_increase: float
    min_requests: int


class TruncationGate(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="truncation"):
    """The share of answers cut off at the limit of tokens may exceed the baseline's by at most `max_increase` (0–1)."""

    max_increase: float
    min_requests: int


class AnswerTokensGate(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="answer_tokens"):
    """The share of answers of over `threshold` tokens may exceed the baseline's by at most `max_increase` (0–1)."""

    threshold: int
    max_increase: float
    min_requests: int


Gate: TypeAlias = (
    ErrorRateGate
    | CallerErrorRateGate
    | LatencyGate
    | QualityGate
    | LossGate
    | RatingGate
    | FirstTokenGate
    | BetweenTokensGate
    | TruncationGate
    | AnswerTokensGate
)


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """`bad` of `trials`: failed, slow or wrong ones, cumulative since the step was applied."""

    trials: int
    bad: int


class GateCounts(msgspec.Struct, frozen=True, kw_only=True):
    """What one gate (by its kind) is judged on: both arms, over the same time."""

    gate: str
    candidate: Counts
    baseline: Counts


class MissingSource(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A gateway or an engine whose records of after `since_ms` (Unix ms, its own clock) are missing.

    If its clock is ahead by `ahead_ms`, nobody can tell which of its records are.
    """

    source: str
    region: str
    since_ms: int
    ahead_ms: int = 0


class RegionAway(msgspec.Struct, frozen=True, kw_only=True):
    """A region that serves the endpoint and is cut off: its gateways serve an earlier `epoch` still, or are silent.

    It should have served a newer one `since` then, or, if the epoch is the step's, nothing of after that has come from
    it. `away_ms` is how long the step has waited by the judge's clock.
    """

    region: str
    epoch: int
    since: str
    away_ms: int


class Measurement(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The sufficient statistics of one step up to a watermark (Unix ms, gateway time).

    `counts` is complete up to the watermark, which stood `lag_ms` behind; `waiting_for` are the sources that held it
    back, and `missing` says of which regions they are and since when. A view that could not be asked leaves `counts`
    empty. Earlier events have no `lag_ms`; in them, the lag of a late view is part of `elapsed_ms`.

    `elapsed_ms` is how far the records reach beyond the beginning of the step by the gateways' clocks, `lasted_ms` how
    long the step has lasted by the monotonic clock of the judge, which nobody sets. Earlier events do not have it.

    A step begins when every region serves its epoch, except those that are excused. Until then `away` are the regions
    that it waits for, and `lasted_ms` counts from when its weight was set; after that, those that have gone silent.
    `excused` are those that are away still, for which the watermark does not wait.
    """

    step: int
    epoch: int
    watermark_ms: int
    elapsed_ms: int
    freshness: Literal["fresh", "late"]
    counts: tuple[GateCounts, ...]
    lag_ms: int | None = None
    waiting_for: tuple[str, ...] = ()
    lasted_ms: int | None = None
    has_begun: bool = True
    away: tuple[RegionAway, ...] = ()
    excused: tuple[RegionAway, ...] = ()
    missing: tuple[MissingSource, ...] = ()


class Verdict(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A gate's answer, with its reason and all that it rests on.

    `subject` is what was compared, counted in `unit`. `estimate`, `lower` and `upper` bound candidate share bad minus
    baseline share bad, at level 1 - `alpha`, valid at any time; at most `max_difference` is allowed, and a pass needs
    `min_trials` on both sides. Where `worse` is `below`, as with accuracy, people read the share of good ones, 1 - bad.
    `without_regions` are those that it did not wait for. A gate that `is_passed_over` did not have enough data at the
    end of its step, and the plan says to go on without it. Earlier events have the figures in `reason` alone.
    """

    gate: str
    outcome: Outcome
    reason: str
    estimate: float | None
    lower: float | None
    upper: float | None
    alpha: float
    subject: str | None = None
    unit: str | None = None
    worse: Direction = "above"
    candidate: Counts | None = None
    baseline: Counts | None = None
    max_difference: float | None = None
    min_trials: int | None = None
    without_regions: tuple[str, ...] = ()
    is_passed_over: bool = False


class RolloutStarted(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The candidate is to take over the endpoint from the baseline; first, `replicas` instances of it are warmed up.

    A gate may pass on records that lag by at most `max_lag_ms`. A step waits for a region that is away, or after
    `region_grace_ms` it excuses it. A step that reaches its longest duration undecided ends as `when_inconclusive`
    says, unless what is missing has a setting of its own.
    """

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
    max_lag_ms: int = 5_000
    allow_signature_change: bool = False
    when_region_away: WhenRegionAway = "hold"
    region_grace_ms: int = 60_000
    when_late: WhenInconclusive | None = None
    when_no_data: WhenMissing | None = None
    when_too_little_data: WhenMissing | None = None


class CandidateWarmed(msgspec.Struct, frozen=True, kw_only=True):
    """Enough instances of the candidate answer correctly."""

    ready_instances: int


class StepStarted(msgspec.Struct, frozen=True, kw_only=True):
    """The step's weight was set; `epoch` names the traffic event in the endpoint's stream. Steps count from 0."""

    step: int
    weight_percent: float
    epoch: int
    reason: str


class StepHeld(msgspec.Struct, frozen=True, kw_only=True):
    """The step cannot begin, as these regions do not serve its epoch."""

    step: int
    epoch: int
    regions: tuple[RegionAway, ...]
    reason: str


class StepReleased(msgspec.Struct, frozen=True, kw_only=True):
    """The step that was held has begun: every region that it waited for serves its epoch."""

    step: int
    epoch: int
    reason: str


class RegionsExcused(msgspec.Struct, frozen=True, kw_only=True):
    """The step does not wait for these regions, nor for their records.

    They stay excused in the steps that follow until they serve the epoch of one that is judged.
    """

    step: int
    epoch: int
    regions: tuple[RegionAway, ...]
    reason: str


class BakeHeld(msgspec.Struct, frozen=True, kw_only=True):
    """The bake time is over, and the rollout is not: records that would complete it are missing.

    This is recorded once. The rollout waits until they come, or until someone promotes or aborts it.
    """

    measurement: Measurement
    reason: str


class StepJudged(msgspec.Struct, frozen=True, kw_only=True):
    """The measurement that decided a step, with each gate's verdict."""

    measurement: Measurement
    verdicts: tuple[Verdict, ...]
    decision: Literal["advance", "promote", "complete", "abort", "pause"]
    reason: str


class RolloutPaused(msgspec.Struct, frozen=True, kw_only=True):
    """The weights stay as they are until someone resumes, promotes or aborts the rollout."""

    step: int | None
    reason: str


class RolloutResumed(msgspec.Struct, frozen=True, kw_only=True):
    """Judging continues where it stopped."""

    step: int | None
    reason: str


class RolloutPromoted(msgspec.Struct, frozen=True, kw_only=True):
    """The candidate serves all traffic; the baseline stays warm until the bake time is over."""

    epoch: int
    reason: str


class RolloutCompleted(msgspec.Struct, frozen=True, kw_only=True):
    """The bake time is over, or someone ended it; the baseline's deployment was removed."""

    reason: str


class RolloutAborted(msgspec.Struct, frozen=True, kw_only=True):
    """The baseline serves all traffic again; `epoch` is None if the traffic never moved."""

    step: int | None
    epoch: int | None
    reason: str


EVENTS: dict[str, type[msgspec.Struct]] = {
    "rollouts.BakeHeld.v1": BakeHeld,
    "rollouts.CandidateWarmed.v1": CandidateWarmed,
    "rollouts.RegionsExcused.v1": RegionsExcused,
    "rollouts.RolloutAborted.v1": RolloutAborted,
    "rollouts.RolloutCompleted.v1": RolloutCompleted,
    "rollouts.RolloutPaused.v1": RolloutPaused,
    "rollouts.RolloutPromoted.v1": RolloutPromoted,
    "rollouts.RolloutResumed.v1": RolloutResumed,
    "rollouts.RolloutStarted.v1": RolloutStarted,
    "rollouts.StepHeld.v1": StepHeld,
    "rollouts.StepJudged.v1": StepJudged,
    "rollouts.StepReleased.v1": StepReleased,
    "rollouts.StepStarted.v1": StepStarted,
}
