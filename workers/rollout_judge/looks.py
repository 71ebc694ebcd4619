"""Decides what to do about a rollout now, and turns a view's answer into a measurement.

Pure; verdicts are the aggregate's.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from schemas.documents.rollouts import Rollout
from schemas.events.rollouts import (
    AnswerTokensGate,
    BetweenTokensGate,
    CallerErrorRateGate,
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
    RegionAway,
    TruncationGate,
)
from schemas.measurement import Arm, Measured, MeasureEpochOf
from workers.rollout_judge.regions import behind_as_away, silent_as_away, with_regions
from workers.rollout_judge.state import Watched

# What each kind of gate adds to the query of the view, and which of its counts it then reads.
_ASKED: dict[type, Callable[[Any], dict[str, Any]]] = {
    ErrorRateGate: lambda _: {},
    CallerErrorRateGate: lambda _: {},
    LatencyGate: lambda gate: {"latency_threshold_ms": gate.threshold_ms},
    QualityGate: lambda gate: {"feedback_name": gate.feedback_name},
    LossGate: lambda gate: {"loss_name": gate.feedback_name, "loss_threshold": gate.threshold},
    RatingGate: lambda gate: {"rating_name": gate.feedback_name, "rating_threshold": gate.threshold},
    FirstTokenGate: lambda gate: {"first_token_threshold_ms": gate.threshold_ms},
    BetweenTokensGate: lambda gate: {"between_tokens_threshold_ms": gate.threshold_ms},
    TruncationGate: lambda _: {"truncation": True},
    AnswerTokensGate: lambda gate: {"answer_tokens_threshold": gate.threshold},
}
_COUNTED: dict[type, tuple[str, str]] = {
    ErrorRateGate: ("requests", "errors"),
    CallerErrorRateGate: ("requests", "refused"),
    LatencyGate: ("requests", "slow"),
    QualityGate: ("labelled", "wrong"),
    LossGate: ("scored", "over"),
    RatingGate: ("rated", "under"),
    FirstTokenGate: ("streams", "late"),
    BetweenTokensGate: ("paced", "slow_between"),
    TruncationGate: ("answers", "truncated"),
    AnswerTokensGate: ("counted", "long"),
}


class ReportWarmUp(msgspec.Struct, frozen=True, kw_only=True):
    """Report how the candidate warms up; only sent when it settles something."""

    ready_instances: int
    elapsed_ms: int
    failure: str | None


class LastSent(msgspec.Struct, frozen=True):
    """What was last measured for a rollout; sending the same again within a second would decide nothing."""

    step: int
    epoch: int
    watermark_ms: int
    lasted_s: int


def next_action(watched: Watched, *, now_s: float) -> ReportWarmUp | MeasureEpochOf | None:
    """Return what to report of a rollout or to ask the view; None while nothing is to be reported.

    A step that has not begun is measured, too, and so is a paused one: a candidate may fail where it serves.
    """
    rollout = watched.rollout
    match rollout.phase:
        case "warming":
            return _warm_up(watched, now_s=now_s)
        case "stepping" | "paused" | "baking" if rollout.epoch is not None and rollout.step is not None:
            return _question(rollout, epoch=rollout.epoch)
        case _:
            return None


def measurement_of(
    watched: Watched, answer: Measured, *, now_s: float, silent_s: Mapping[str, float] | None = None
) -> Measurement | None:
    """Convert the view's answer to a measurement; `silent_s` is since when regions are silent.

    The elapsed time is data time: how far the records reach beyond the moment when the gateways served the epoch. It is
    negative until they do, which is for long if the clock of a gateway is wrong.
    """
    step, epoch, applied_ms = watched.rollout.step, watched.rollout.epoch, watched.applied_ms
    if step is None or epoch is None or answer.watermark_ms is None:
        return None
    silent = silent_as_away(answer, epoch=epoch, since_s=silent_s or {}, now_s=now_s)
    late = _behind(watched, now_s=now_s)
    names = {each.region for each in late}
    cut_off = (*late, *(each for each in silent if each.region not in names))
    measurement = Measurement(
        step=step,
        epoch=epoch,
        watermark_ms=answer.watermark_ms,
        elapsed_ms=0 if applied_ms is None else answer.watermark_ms - applied_ms,
        freshness="fresh" if answer.freshness == "fresh" else "late",
        lag_ms=answer.lag_ms or 0,
        waiting_for=answer.waiting_for,
        missing=answer.missing,
        lasted_ms=_lasted_ms(watched, now_s=now_s),
        has_begun=applied_ms is not None,
        counts=tuple(_counts(gate, watched.rollout, answer) for gate in watched.rollout.gates),
    )
    return with_regions(measurement, cut_off, watched.rollout)


def unseen_measurement(watched: Watched, *, now_s: float) -> Measurement | None:
    """Report that the view is unavailable, timed by the judge's clock: a step ends even without a view.

    No gate can pass by that; it only decides whether the step's longest duration is over.
    """
    step, epoch, lasted_ms = watched.rollout.step, watched.rollout.epoch, _lasted_ms(watched, now_s=now_s)
    if step is None or epoch is None:
        return None
    has_begun = watched.applied_ms is not None
    measurement = Measurement(
        step=step,
        epoch=epoch,
        watermark_ms=0,
        elapsed_ms=lasted_ms if has_begun else 0,
        freshness="late",
        lasted_ms=lasted_ms,
        has_begun=has_begun,
        counts=(),
    )
    return with_regions(measurement, _behind(watched, now_s=now_s), watched.rollout)


def sent_of(measurement: Measurement) -> LastSent:
    """Return what makes a measurement new: its watermark, and where that stands still the seconds that pass."""
    lasted_s = (measurement.lasted_ms or 0) // 1000
    return LastSent(measurement.step, measurement.epoch, measurement.watermark_ms, lasted_s)


def _lasted_ms(watched: Watched, *, now_s: float) -> int:
    """Return how long the step has lasted, or until it begins, how long it has waited."""
    return _ms_since(watched.set_s if watched.applied_s is None else watched.applied_s, now_s=now_s)


def _ms_since(then_s: float, *, now_s: float) -> int:
    return max(0, round((now_s - then_s) * 1000))


def _behind(watched: Watched, *, now_s: float) -> tuple[RegionAway, ...]:
    return behind_as_away(watched.behind, away_ms=_ms_since(watched.set_s, now_s=now_s))


def _warm_up(watched: Watched, *, now_s: float) -> ReportWarmUp | None:
    elapsed_ms = _ms_since(watched.started_s, now_s=now_s)
    ready, rollout = len(watched.instances), watched.rollout
    is_ready = ready >= rollout.replicas
    if not (is_ready or watched.failure is not None or elapsed_ms >= rollout.warm_up_timeout_ms):
        return None
    failure = None if is_ready else watched.failure
    return ReportWarmUp(ready_instances=ready, elapsed_ms=elapsed_ms, failure=failure)


def _question(rollout: Rollout, *, epoch: int) -> MeasureEpochOf:
    asked: dict[str, Any] = {}
    for gate in rollout.gates:
        asked |= _ASKED[type(gate)](gate)
    return MeasureEpochOf(
        endpoint=rollout.endpoint_id,
        epoch=epoch,
        candidate=rollout.candidate_deployment_id,
        baseline=rollout.baseline_deployment_id,
        excused_regions=tuple(sorted(each.region for each in rollout.excused)),
        **asked,
    )


def _counts(gate: Gate, rollout: Rollout, answer: Measured) -> GateCounts:
    nothing = Arm()
    return GateCounts(
        gate=str(gate.__struct_config__.tag),
        candidate=_of_arm(gate, answer.arms.get(rollout.candidate_deployment_id, nothing)),
        baseline=_of_arm(gate, answer.arms.get(rollout.baseline_deployment_id, nothing)),
    )


def _of_arm(gate: Gate, arm: Arm) -> Counts:
    trials, bad = _COUNTED[type(gate)]
    return Counts(trials=getattr(arm, trials), bad=getattr(arm, bad))
