"""Endpoints and rollouts as people see them: what they ask first, in their words."""

from typing import Any

import msgspec

from rollbook.cli.gate_table import gate_lines
from rollbook.cli.tables import brief, readable
from rollbook.resources import (
    CapturePolicy,
    Deployment,
    Endpoint,
    FailoverPolicy,
    Instance,
    Rollout,
    ScalingPolicy,
    ServingRegion,
    VersionReference,
)


def endpoint_view(endpoint: Endpoint) -> dict[str, Any]:
    """Return an endpoint with its deployments, why they fail, and their instances."""
    versions = {each.id: each.version for each in endpoint.deployments}
    weights = {share.deployment_id: share.weight_percent for share in endpoint.allocations}
    shadow = endpoint.shadow
    plain = {
        "name": endpoint.name,
        "id": endpoint.id,
        "description": endpoint.description,
        "epoch": endpoint.epoch,
        "active_rollout": endpoint.active_rollout_id,
        "shadow": shadow
        and f"{shadow.percent:g} % is copied to {versions.get(shadow.deployment_id, shadow.deployment_id)}",
        "assigned_by": _assigned_by(endpoint),
        "captured": _captured(endpoint.capture),
        "scaling": _scaling(endpoint.scaling),
        "failover": _changed(endpoint.failover, FailoverPolicy()),
    }
    has_regions = len(endpoint.regions) > 1 or any(each.behind_since for each in endpoint.regions)
    parts = {
        "regions": [_region(each) for each in endpoint.regions] if has_regions else [],
        "failures": [
            {"version": each.version, "reason": each.failure} for each in endpoint.deployments if each.failure
        ],
        "instances": [
            {"version": each.version, **_instance(one)} for each in endpoint.deployments for one in each.instances
        ],
        "failovers": [
            {
                "version": versions.get(each.deployment_id, each.deployment_id),
                "in_region": each.region,
                "answered_by": f"{versions.get(each.to_deployment_id, each.to_deployment_id)} in {each.to_region}",
                "reason": each.reason,
            }
            for each in endpoint.failovers
        ],
    }
    return {
        **{name: value for name, value in plain.items() if value not in {None, ""}},
        "deployments": [
            {"version": each.version, "weight": f"{weights.get(each.id, 0):g} %", **_deployment(each)}
            for each in endpoint.deployments
        ],
        **{name: rows for name, rows in parts.items() if rows},
    }


def _region(region: ServingRegion) -> dict[str, Any]:
    shown = {"region": region.region, "serves_epoch": region.epoch}
    return shown if region.behind_since is None else {**shown, "behind_since": region.behind_since}


def deployment_view(deployment: Deployment) -> dict[str, Any]:
    """Return a deployment with its instances."""
    shown = {"version": deployment.version, **_deployment(deployment)}
    reason = {"reason": deployment.failure} if deployment.failure else {}
    return {**shown, **reason, "instances": [_instance(one) for one in deployment.instances]}


def rollout_text(rollout: Rollout, *, width: int) -> str:
    """Return a rollout as text: how it stands and why, the gates of its last decision, and what it is."""
    standing = {"phase": rollout.phase, "reason": rollout.reason}
    plain = {
        "candidate": _version(rollout.candidate),
        "baseline": _version(rollout.baseline),
        "endpoint": rollout.endpoint_name,
        "weight": f"{rollout.weight_percent:g} %",
        "step": rollout.step,
        "epoch": rollout.epoch,
        "started_at": rollout.started_at,
        "finished_at": rollout.finished_at,
        "id": rollout.id,
    }
    gates = [*gate_lines(rollout.verdicts, width=width), ""] if rollout.verdicts else []
    return "\n".join([readable(standing, width=width), "", *gates, readable(plain, width=width)])


def _deployment(deployment: Deployment) -> dict[str, Any]:
    return {
        "state": deployment.state,
        "ready": f"{len(deployment.instances)}/{deployment.replicas * max(1, len(deployment.regions))}",
        "regions": list(deployment.regions) or "all",
        "id": deployment.id,
    }


def _instance(instance: Instance) -> dict[str, Any]:
    address = f"{instance.host}:{instance.port}"
    return {"address": address, "region": instance.region, "zone": instance.zone, "id": instance.id}


def _version(reference: VersionReference) -> str:
    return f"{reference.model_name}/{reference.number}"


def _assigned_by(endpoint: Endpoint) -> str | None:
    key = endpoint.assigned_by
    if key.header or key.claim:
        return f"header {key.header}" if key.header else f"claim {key.claim}"
    return None


def _captured(policy: CapturePolicy) -> str:
    kept = [
        f"{side} {'all' if names is None else brief(names) if names else 'none'}"
        for side, names in (("inputs", policy.inputs), ("outputs", policy.outputs))
    ]
    hashed = [f"hashed {brief(policy.hashed)}"] if policy.hashed else []
    share = f"{100 * policy.sampling_rate:g} % of predictions for {policy.retention_days} days"
    return "; ".join([share, *kept, *hashed])


def _scaling(policy: ScalingPolicy | None) -> str | None:
    if policy is None:
        return None
    targets = {"in_flight", "queue_depth", "latency_ms", "tokens_waiting"}
    wanted = {name: value for name, value in msgspec.structs.asdict(policy).items() if name in targets and value}
    replicas = f"{policy.min_replicas} to {policy.max_replicas} replicas"
    return f"{replicas} for {brief(wanted)} each" if wanted else replicas


def _changed(policy: FailoverPolicy, usual: FailoverPolicy) -> str:
    given, defaults = msgspec.structs.asdict(policy), msgspec.structs.asdict(usual)
    changed = {name: value for name, value in given.items() if value != defaults[name]}
    return brief(changed) if changed else "as usual"
