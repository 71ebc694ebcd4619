"""How many replicas a measurement asks for, under a policy. Pure: the same code decides live and in a replay."""

import math
from typing import Literal

import msgspec

from schemas.scaling import Load, LoadMeasurement, ScalingPolicy

Code = Literal[
    "no-policy",
    "stale-measurement",
    "out-of-bounds",
    "load-rose",
    "load-fell",
    "idle",
    "woken",
    "policy-removed",
    "load-fits",
    "load-unknown",
    "cooling-down",
    "at-most-allowed",
    "at-least-required",
    "kept-for-rollout",
    "kept-as-shadow",
    "kept-as-backup",
    "window-not-over",
    "watched-too-short",
    "not-idle-long-enough",
    "asleep",
]


class Situation(msgspec.Struct, frozen=True, kw_only=True):
    """What is already the case. `floor` is what a rollout that is in progress needs, 0 without one.

    `kept_as` is set for a deployment that must be awake without being asked, or it would be of no use when it is.
    """

    replicas: int
    changed_at_ms: int
    floor: int = 0
    kept_as: Literal["kept-as-shadow", "kept-as-backup"] | None = None

    @property
    def lowest(self) -> int:
        """How many replicas there must be, whatever the policy allows."""
        return max(self.floor, int(self.kept_as is not None))


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """How many replicas there are to be; equal to those there are where nothing changes, and why in each case."""

    replicas: int
    code: Code
    reason: str


def judge(policy: ScalingPolicy, measurement: LoadMeasurement, situation: Situation, *, now_ms: int) -> Verdict:
    """Say what a policy makes of a measurement."""
    current = situation.replicas
    bounded = min(max(current, policy.min_replicas), policy.max_replicas)
    if bounded != current and (bounded > current or situation.floor < current):
        return Verdict(
            replicas=max(bounded, min(current, situation.floor)),
            code="out-of-bounds",
            reason=f"the policy allows {policy.min_replicas} to {policy.max_replicas}",
        )
    if current == 0:
        return _asleep(policy, measurement, situation)
    if measurement.now == Load():
        return _stay(current, "load-unknown", "the load is unknown: no source answered")
    wanted, figure = wanted_replicas(policy, measurement.now, _sharing(measurement, current))
    if wanted > current:
        return _rise(policy, situation, wanted, figure, since_ms=now_ms - situation.changed_at_ms)
    return _fall(policy, measurement, situation, since_ms=now_ms - situation.changed_at_ms)


def wake(policy: ScalingPolicy, *, reason: str) -> Verdict:
    """Say how many replicas a sleeping deployment gets when somebody asks for it."""
    return Verdict(replicas=max(1, policy.min_replicas), code="woken", reason=reason)


def wanted_replicas(policy: ScalingPolicy, load: Load, ready: int) -> tuple[int, str]:
    """Return how many replicas would keep every target, and the figure that asks for the most, in words."""
    wanted, words = 0, "there is no load"
    for name in ("in_flight", "queue_depth", "tokens_waiting", "latency_ms"):
        target: float | None = getattr(policy, name)
        value: float | None = getattr(load, name)
        if target is None or value is None:
            continue
        # Latency says nothing of how much there is to do; it grows about as the load of each replica does.
        each = value / target * (ready if name == "latency_ms" else 1)
        need = _rounded_up(each, ready, tolerance=policy.tolerance)
        if need > wanted:
            wanted, words = need, f"{name} is {value:g}, the target for one replica is {target:g}"
    return wanted, words


def _rounded_up(need: float, ready: int, *, tolerance: float) -> int:
    """Forgive the tolerance around what there is, so that a load at its target moves nothing."""
    if ready and abs(need / ready - 1) <= tolerance:
        return ready
    # A bound: figures come from outside.
    return math.ceil(min(need, 1e6) - 1e-9)


def _sharing(measurement: LoadMeasurement, current: int) -> int:
    """Return how many replicas share the load; each region has so many, so that one can do without the others."""
    return min(measurement.ready, current) or current


def _asleep(policy: ScalingPolicy, measurement: LoadMeasurement, situation: Situation) -> Verdict:
    if situation.kept_as is not None:
        return wake(policy, reason=f"it must stay awake: {situation.kept_as}")
    wanted, figure = wanted_replicas(policy, measurement.now, 0)
    if wanted or (measurement.now.in_flight or 0) > 0:
        return wake(policy, reason=f"requests wait for a replica: {figure}")
    return _stay(0, "asleep", "no requests arrive")


def _rise(policy: ScalingPolicy, situation: Situation, wanted: int, figure: str, *, since_ms: int) -> Verdict:
    current = situation.replicas
    if current >= policy.max_replicas:
        return _stay(
            current,
            "at-most-allowed",
            f"the policy allows only {policy.max_replicas} of {wanted} replicas needed: {figure}",
        )
    if since_ms < policy.cool_down_ms:
        return _stay(
            current,
            "cooling-down",
            f"{wanted} replicas needed after the cool-down: {since_ms} of {policy.cool_down_ms} ms have passed",
        )
    return Verdict(replicas=min(wanted, policy.max_replicas), code="load-rose", reason=figure)


def _fall(policy: ScalingPolicy, measurement: LoadMeasurement, situation: Situation, *, since_ms: int) -> Verdict:
    current = situation.replicas
    wanted, figure = wanted_replicas(policy, measurement.highest, _sharing(measurement, current))
    if wanted >= current:
        return _stay(
            current,
            "load-fits",
            f"{wanted} replicas needed over the last {policy.stabilisation_window_ms} ms: {figure}",
        )
    lowest = max(policy.min_replicas, situation.lowest)
    target = max(wanted, lowest, 1)
    if target >= current > max(lowest, 0) and wanted == 0:
        return _sleep(policy, measurement, current, since_ms=since_ms)
    if target >= current:
        return _stay(
            current, _required(policy, situation), f"{wanted} would be enough, but at least {lowest} are required"
        )
    if since_ms < policy.stabilisation_window_ms or since_ms < policy.cool_down_ms:
        return _stay(current, "window-not-over", f"{wanted} would be enough; the last change was {since_ms} ms ago")
    if measurement.watched_ms < policy.stabilisation_window_ms:
        return _stay(
            current, "watched-too-short", f"{wanted} would be enough; observed for only {measurement.watched_ms} ms"
        )
    return Verdict(
        replicas=target,
        code="load-fell",
        reason=f"{wanted} are enough for the last {policy.stabilisation_window_ms} ms",
    )


def _required(policy: ScalingPolicy, situation: Situation) -> Code:
    if situation.floor > policy.min_replicas:
        return "kept-for-rollout"
    if situation.kept_as is not None and situation.lowest > policy.min_replicas:
        return situation.kept_as
    return "at-least-required"


def _sleep(policy: ScalingPolicy, measurement: LoadMeasurement, current: int, *, since_ms: int) -> Verdict:
    """One replica stays until no one asked for long enough; the watch of a new replica begins with it."""
    idle_ms = min(measurement.idle_ms, since_ms)
    if idle_ms < policy.idle_before_zero_ms or since_ms < policy.stabilisation_window_ms:
        return _stay(current, "not-idle-long-enough", f"no requests for {idle_ms} of {policy.idle_before_zero_ms} ms")
    return Verdict(replicas=0, code="idle", reason=f"no requests for {measurement.idle_ms} ms")


def _stay(current: int, code: Code, reason: str) -> Verdict:
    return Verdict(replicas=current, code=code, reason=reason)
