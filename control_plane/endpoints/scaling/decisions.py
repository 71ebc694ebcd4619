"""How many replicas an endpoint's deployments have: who may say so, and what is recorded."""

from typing import Literal

import msgspec

from control_plane.endpoints import errors
from control_plane.endpoints.aggregate import Endpoint
from control_plane.endpoints.deployments.decisions import require_deployment
from control_plane.endpoints.scaling.commands import ReportLoad, SetScalingPolicy, WakeDeployment
from control_plane.endpoints.scaling.rules import Situation, Verdict, judge, wake
from schemas.events.endpoints import DeploymentAdded, ReplicasChanged, ScalingPolicySet
from schemas.scaling import LoadMeasurement, ScalingPolicy

_TARGETS = ("in_flight", "queue_depth", "latency_ms", "tokens_waiting")


def set_scaling_policy(state: Endpoint, command: SetScalingPolicy) -> list[msgspec.Struct]:
    """Replace the policy, and bring what is outside its bounds inside; the same one again changes nothing."""
    if command.policy is not None:
        require_valid_policy(command.policy)
    if command.policy == state.scaling.policy:
        return []
    changes = [_bounded(state, each, command.policy) for each in state.deployments.present]
    return [
        ScalingPolicySet(policy=command.policy, reason=command.reason),
        *(change for change in changes if change.to_replicas != change.from_replicas),
    ]


def report_load(state: Endpoint, command: ReportLoad, *, now_ms: int) -> tuple[list[msgspec.Struct], Verdict]:
    """Change the replicas where the policy says so; else return why they stay."""
    verdict = verdict_on(state, command.deployment_id, command.measurement, now_ms=now_ms)
    return _changed(state, command.deployment_id, verdict, command.measurement), verdict


def wake_deployment(state: Endpoint, command: WakeDeployment) -> tuple[list[msgspec.Struct], Verdict]:
    """Give a sleeping deployment its first replica; one that is awake needs nothing."""
    require_deployment(state, command.deployment_id)
    current = state.scaling.replicas[command.deployment_id].count
    if current or state.scaling.policy is None:
        stays = Verdict(replicas=current, code="load-fits", reason="it is not asleep")
        return [], stays
    verdict = wake(state.scaling.policy, reason=command.reason)
    return _changed(state, command.deployment_id, verdict, None), verdict


def verdict_on(state: Endpoint, deployment_id: str, measurement: LoadMeasurement, *, now_ms: int) -> Verdict:
    """Say what becomes of a measurement, without doing it."""
    deployment = require_deployment(state, deployment_id)
    replicas = state.scaling.replicas[deployment_id]
    if state.scaling.policy is None:
        return Verdict(replicas=replicas.count, code="no-policy", reason="the endpoint has no scaling policy")
    current = state.scaling.version_of(deployment_id)
    if measurement.scaling_version != current:
        seen = measurement.scaling_version
        reason = f"it was made at version {seen}; policy and replicas are those of version {current}"
        return Verdict(replicas=replicas.count, code="stale-measurement", reason=reason)
    # A rollout is judged on the replicas that it was started with: while it owns the endpoint none is taken away.
    floor = 0 if state.traffic.owner is None else max(1, deployment.replicas)
    situation = Situation(
        replicas=replicas.count,
        changed_at_ms=replicas.changed_at_ms,
        floor=floor,
        kept_as=_kept_as(state, deployment_id),
    )
    return judge(state.scaling.policy, measurement, situation, now_ms=now_ms)


def require_valid_policy(policy: ScalingPolicy) -> None:
    """Refuse bounds that cross and a policy without any target."""
    if policy.min_replicas > policy.max_replicas:
        raise errors.InvalidScalingPolicyError(
            f"at least {policy.min_replicas} and at most {policy.max_replicas} replicas contradict each other",
            field="policy.min_replicas",
            remedy="set min_replicas to at most max_replicas",
        )
    if all(getattr(policy, name) is None for name in _TARGETS):
        raise errors.InvalidScalingPolicyError(
            "the policy has no target", field="policy", remedy=f"give one of {', '.join(_TARGETS)}"
        )


def _kept_as(state: Endpoint, deployment_id: str) -> Literal["kept-as-shadow", "kept-as-backup"] | None:
    """No one waits for a shadow, so no one would wake it; a backup is asked when there is no time to wait."""
    if deployment_id == state.failover.policy.backup_deployment_id:
        return "kept-as-backup"
    is_shadow = state.shadow is not None and state.shadow.deployment_id == deployment_id
    return "kept-as-shadow" if is_shadow else None


def _bounded(state: Endpoint, deployment: DeploymentAdded, policy: ScalingPolicy | None) -> ReplicasChanged:
    current = state.scaling.replicas[deployment.deployment_id].count
    if policy is None:
        count, code, reason = deployment.replicas, "policy-removed", "the deployment was added with this many"
    else:
        lowest = policy.min_replicas if state.traffic.owner is None else max(policy.min_replicas, min(current, 1))
        count, code = min(max(current, lowest), policy.max_replicas), "out-of-bounds"
        reason = f"the policy allows {policy.min_replicas} to {policy.max_replicas}"
    return ReplicasChanged(
        deployment_id=deployment.deployment_id,
        from_replicas=current,
        to_replicas=count,
        code=code,
        reason=reason,
        measurement=None,
    )


def _changed(
    state: Endpoint, deployment_id: str, verdict: Verdict, measurement: LoadMeasurement | None
) -> list[msgspec.Struct]:
    current = state.scaling.replicas[deployment_id].count
    if verdict.replicas == current:
        return []
    return [
        ReplicasChanged(
            deployment_id=deployment_id,
            from_replicas=current,
            to_replicas=verdict.replicas,
            code=verdict.code,
            reason=verdict.reason,
            measurement=measurement,
        )
    ]
