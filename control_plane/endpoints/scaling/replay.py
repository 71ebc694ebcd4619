"""Replays recorded looks against a policy: what would have changed, when and why. Pure."""

from collections.abc import Iterable

import msgspec

from control_plane.endpoints.scaling.rules import Situation, judge
from schemas.scaling import LoadSample, LoadWindow, ScalingPolicy


class ReplayedChange(msgspec.Struct, frozen=True, kw_only=True):
    """A change that the policy would have made."""

    at_ms: int
    from_replicas: int
    to_replicas: int
    code: str
    reason: str


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """What a policy would have done, and how many seconds of replicas it would have used."""

    changes: tuple[ReplayedChange, ...]
    samples: int
    replica_seconds: float
    highest_replicas: int


def replay(policy: ScalingPolicy, samples: Iterable[LoadSample], *, replicas: int) -> Replay:
    """Let a policy decide on each look in turn, from a number of replicas on.

    The load is taken as it was recorded: other replica counts would have changed latency and queues.
    """
    window, changes = LoadWindow(), list[ReplayedChange]()
    situation, last_ms, count, used_ms, highest = Situation(replicas=replicas, changed_at_ms=0), None, 0, 0, replicas
    for sample in samples:
        if last_ms is not None:
            used_ms += max(0, sample.at_ms - last_ms) * situation.replicas
        last_ms, count = sample.at_ms, count + 1
        counted = msgspec.structs.replace(sample, ready=situation.replicas)
        measurement = window.measure(counted, window_ms=policy.stabilisation_window_ms, scaling_version=0)
        verdict = judge(policy, measurement, situation, now_ms=sample.at_ms)
        if verdict.replicas != situation.replicas:
            changes.append(
                ReplayedChange(
                    at_ms=sample.at_ms,
                    from_replicas=situation.replicas,
                    to_replicas=verdict.replicas,
                    code=verdict.code,
                    reason=verdict.reason,
                )
            )
            situation = Situation(replicas=verdict.replicas, changed_at_ms=sample.at_ms)
            highest = max(highest, verdict.replicas)
    return Replay(changes=tuple(changes), samples=count, replica_seconds=used_ms / 1_000, highest_replicas=highest)
