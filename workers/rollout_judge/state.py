"""What the judge knows of the active rollouts: a fold of the snapshot and the log after it. Pure.

Times come with the facts. `seen_s` is a monotonic clock of the judge, of which only differences are used.
"""

from collections.abc import Mapping
from typing import TypeAlias

import msgspec

from schemas.envelope import RecordedEvent, unix_ms
from schemas.events.endpoints import InstanceAnnounced, InstanceFailed, InstanceWithdrawn, TrafficApplied
from schemas.events.rollouts import (
    Gate,
    RolloutAborted,
    RolloutCompleted,
    RolloutPaused,
    RolloutPromoted,
    RolloutResumed,
    RolloutStarted,
    StepStarted,
)
from workers.rollout_judge.answers import ActiveRolloutAnswer, Phase, SnapshotAnswer


class Watched(msgspec.Struct, frozen=True, kw_only=True):
    """One active rollout. `applied_ms` is None until the gateways serve its epoch.

    `started_s` is when it started, `applied_s` when its epoch was served, both on the judge's monotonic clock.
    """

    id: str
    endpoint_id: str
    phase: Phase
    step: int | None
    epoch: int | None
    candidate: str
    baseline: str
    replicas: int
    gates: tuple[Gate, ...]
    warm_up_timeout_ms: int
    started_s: float
    applied_ms: int | None
    applied_s: float | None = None
    instances: frozenset[str]
    failure: str | None


_OVER = ("completed", "aborted")
Rollouts: TypeAlias = Mapping[str, Watched]


def from_snapshot(snapshot: SnapshotAnswer, *, seen_s: float) -> dict[str, Watched]:
    """Start from the snapshot; how long a rollout has been warming is told by the server's own times."""
    at_ms = unix_ms(snapshot.at)
    return {each.rollout.id: _watched(each, at_ms=at_ms, seen_s=seen_s) for each in snapshot.rollouts}


def after_event(
    rollouts: Rollouts, recorded: RecordedEvent, event: msgspec.Struct, *, seen_s: float
) -> dict[str, Watched]:
    """Fold one event of the log; a rollout that is over is forgotten."""
    stream = recorded.envelope.stream
    if isinstance(event, RolloutStarted):
        return {**rollouts, stream: _started(stream, event, seen_s=seen_s)}
    moved = {key: _moved(each, stream, event, seen_s=seen_s) for key, each in rollouts.items()}
    return {key: each for key, each in moved.items() if each.phase not in _OVER}


def _moved(watched: Watched, stream: str, event: msgspec.Struct, *, seen_s: float) -> Watched:
    if stream == watched.id:
        return _decided(watched, event)
    match event:
        case TrafficApplied(epoch=epoch, applied_at=applied_at) if (stream, epoch) == (
            watched.endpoint_id,
            watched.epoch,
        ):
            return _applied(watched, unix_ms(applied_at), seen_s=seen_s)
        case InstanceAnnounced(deployment_id=watched.candidate):
            return msgspec.structs.replace(watched, instances=watched.instances | {stream})
        case InstanceWithdrawn(deployment_id=watched.candidate):
            return msgspec.structs.replace(watched, instances=watched.instances - {stream})
        case InstanceFailed(deployment_id=watched.candidate, code=code, reason=reason):
            remaining = watched.instances - {stream}
            return msgspec.structs.replace(watched, instances=remaining, failure=f"{code}: {reason}")
        case _:
            return watched


def _applied(watched: Watched, at_ms: int, *, seen_s: float) -> Watched:
    # With several regions the step's time is counted from the last of them.
    if watched.applied_ms is not None and at_ms <= watched.applied_ms:
        return watched
    return msgspec.structs.replace(watched, applied_ms=at_ms, applied_s=seen_s)


def _decided(watched: Watched, event: msgspec.Struct) -> Watched:  # noqa: PLR0911  one an event
    replace = msgspec.structs.replace
    match event:
        case StepStarted(step=step, epoch=epoch):
            return replace(watched, phase="stepping", step=step, epoch=epoch, applied_ms=None, applied_s=None)
        case RolloutPaused():
            return replace(watched, phase="paused")
        case RolloutResumed():
            return replace(watched, phase="stepping")
        case RolloutPromoted():
            return replace(watched, phase="baking")
        case RolloutCompleted():
            return replace(watched, phase="completed")
        case RolloutAborted():
            return replace(watched, phase="aborted")
        case _:
            return watched


def _started(stream: str, event: RolloutStarted, *, seen_s: float) -> Watched:
    return Watched(
        id=stream,
        endpoint_id=event.endpoint_id,
        phase="warming",
        step=None,
        epoch=None,
        candidate=event.candidate_deployment_id,
        baseline=event.baseline_deployment_id,
        replicas=event.replicas,
        gates=event.gates,
        warm_up_timeout_ms=event.warm_up_timeout_ms,
        started_s=seen_s,
        applied_ms=None,
        instances=frozenset(),
        failure=None,
    )


def _watched(active: ActiveRolloutAnswer, *, at_ms: int, seen_s: float) -> Watched:
    rollout = active.rollout

    def seen(at: str) -> float:
        return seen_s - max(0, at_ms - unix_ms(at)) / 1000

    return Watched(
        id=rollout.id,
        endpoint_id=rollout.endpoint_id,
        phase=rollout.phase,
        step=rollout.step,
        epoch=rollout.epoch,
        candidate=rollout.candidate_deployment_id,
        baseline=rollout.baseline_deployment_id,
        replicas=rollout.replicas,
        gates=rollout.gates,
        warm_up_timeout_ms=rollout.warm_up_timeout_ms,
        started_s=seen(rollout.started_at),
        applied_ms=None if active.applied_at is None else unix_ms(active.applied_at),
        applied_s=None if active.applied_at is None else seen(active.applied_at),
        instances=frozenset(active.candidate_instances),
        failure=active.candidate_failure,
    )
