"""Who answers in place of instances that cannot be reached, and when that happens."""

import msgspec

from control_plane.endpoints import errors
from control_plane.endpoints.aggregate import Endpoint
from control_plane.endpoints.deployments.decisions import require_deployment
from control_plane.endpoints.deployments.regions import require_valid_regions
from control_plane.endpoints.failover.commands import SetFailoverPolicy
from schemas.events.endpoints import FailoverEnded, FailoverPolicy, FailoverPolicySet, FailoverStarted
from schemas.failover import ReportFailoverEnd, ReportFailoverStart

MAX_BACKUP_REGIONS = 5
MAX_RETRIES = 10
TRY_MS = (10, 60_000)
MAX_CONCURRENT = 1_000_000


def set_failover_policy(state: Endpoint, command: SetFailoverPolicy) -> list[msgspec.Struct]:
    """Replace the policy; the same one again changes nothing."""
    policy = command.policy
    if policy.backup_deployment_id is not None:
        backup = _deployment_named(state, policy.backup_deployment_id)
        policy = msgspec.structs.replace(policy, backup_deployment_id=backup)
    require_valid_regions(policy.backup_regions or (), limit=MAX_BACKUP_REGIONS, field="policy.backup_regions")
    _require_within_limits(policy)
    return [] if policy == state.failover.policy else [FailoverPolicySet(policy=policy, reason=command.reason)]


def report_start(state: Endpoint, command: ReportFailoverStart) -> list[msgspec.Struct]:
    """Record that a region is served in place of a deployment's usual instances; once for each that takes over."""
    for deployment_id in (command.deployment_id, command.to_deployment_id):
        require_deployment(state, deployment_id)
    known = state.failover.find(command.region, command.deployment_id)
    if known and (known.to_deployment_id, known.to_region) == (command.to_deployment_id, command.to_region):
        return []
    return [FailoverStarted(**msgspec.structs.asdict(command))]


def report_end(state: Endpoint, command: ReportFailoverEnd) -> list[msgspec.Struct]:
    """Record that a region is served as usual again; where it always was, nothing ends."""
    if state.failover.find(command.region, command.deployment_id) is None:
        return []
    return [FailoverEnded(**msgspec.structs.asdict(command))]


def _deployment_named(state: Endpoint, name: str) -> str:
    """Return the id of a deployment that is given by its id or its version; the newest, where several have that."""
    for each in reversed(state.deployments.present):
        if name in (each.deployment_id, each.version.version_id, f"{each.version.model_name}/{each.version.number}"):
            return each.deployment_id
    versions = [each.version for each in state.deployments.present]
    there = ", ".join(f"{version.model_name}/{version.number}" for version in versions) or "none"
    raise errors.InvalidFailoverPolicyError(
        f"{name} is not a deployment or deployed version of endpoint {state.name}",
        field="policy.backup",
        remedy=f"deploy it first; the endpoint has {there}",
    )


def _require_within_limits(policy: FailoverPolicy) -> None:
    min_ms, max_ms = TRY_MS
    bounds = {
        "max_retries": (0, MAX_RETRIES),
        "per_try_timeout_ms": (min_ms, max_ms),
        "retries_at_once": (0, MAX_CONCURRENT),
        "max_connections": (1, MAX_CONCURRENT),
        "max_pending": (1, MAX_CONCURRENT),
        "max_requests": (1, MAX_CONCURRENT),
    }
    for field, (low, high) in bounds.items():
        value = getattr(policy, field)
        if value is not None and not low <= value <= high:
            raise errors.InvalidFailoverPolicyError(
                f"{field} cannot be {value}", field=f"policy.{field}", remedy=f"give {low} to {high}"
            )
