"""Where an endpoint's deployments are, who answers in their place, and when that happens."""

import re

import msgspec

from control_plane.endpoints import errors
from control_plane.endpoints.aggregate import Endpoint
from control_plane.endpoints.commands import (
    PlaceDeployment,
    ReportFailoverEnd,
    ReportFailoverStart,
    SetFailoverPolicy,
)
from schemas.events.endpoints import (
    DeploymentPlaced,
    FailoverEnded,
    FailoverPolicy,
    FailoverPolicySet,
    FailoverStarted,
)

MAX_REGIONS = 32
MAX_BACKUP_REGIONS = 5
MAX_RETRIES = 10
TRY_MS = (10, 60_000)
MAX_CONCURRENT = 1_000_000
_REGION = re.compile(r"[A-Za-z0-9_.-]{1,63}")


def set_failover_policy(state: Endpoint, command: SetFailoverPolicy) -> list[msgspec.Struct]:
    """Replace the policy; the same one again changes nothing."""
    policy = command.policy
    if policy.backup_deployment_id is not None:
        backup = _deployment_named(state, policy.backup_deployment_id)
        policy = msgspec.structs.replace(policy, backup_deployment_id=backup)
    _require_valid_regions(policy.backup_regions or (), limit=MAX_BACKUP_REGIONS, field="policy.backup_regions")
    _require_within_limits(policy)
    return [] if policy == state.failover else [FailoverPolicySet(policy=policy, reason=command.reason)]


def place_deployment(state: Endpoint, command: PlaceDeployment) -> list[msgspec.Struct]:
    """Say in which regions a deployment has its instances; agents elsewhere stop theirs."""
    if state.deployment(command.deployment_id) is None:
        raise _unknown_deployment(state, command.deployment_id)
    if command.regions == state.regions_of(command.deployment_id):
        return []
    return begin_with_placement(command)


def begin_with_placement(command: PlaceDeployment) -> list[msgspec.Struct]:
    """Place a deployment that is about to be added."""
    _require_valid_regions(command.regions, limit=MAX_REGIONS, field="regions")
    return [
        DeploymentPlaced(deployment_id=command.deployment_id, regions=command.regions, reason=command.reason),
    ]


def report_start(state: Endpoint, command: ReportFailoverStart) -> list[msgspec.Struct]:
    """Record that a region is served in place of a deployment's usual instances; once for each that takes over."""
    for deployment_id in (command.deployment_id, command.to_deployment_id):
        if state.deployment(deployment_id) is None:
            raise _unknown_deployment(state, deployment_id)
    known = state.failover_of(command.region, command.deployment_id)
    if known and (known.to_deployment_id, known.to_region) == (command.to_deployment_id, command.to_region):
        return []
    return [FailoverStarted(**msgspec.structs.asdict(command))]


def report_end(state: Endpoint, command: ReportFailoverEnd) -> list[msgspec.Struct]:
    """Record that a region is served as usual again; where it always was, nothing ends."""
    if state.failover_of(command.region, command.deployment_id) is None:
        return []
    return [FailoverEnded(**msgspec.structs.asdict(command))]


def _deployment_named(state: Endpoint, name: str) -> str:
    """Return the id of a deployment that is given by its id or its version; the newest, where several have that."""
    for each in reversed(state.deployments):
        if name in (each.deployment_id, each.version.version_id, f"{each.version.model_name}/{each.version.number}"):
            return each.deployment_id
    there = ", ".join(f"{each.version.model_name}/{each.version.number}" for each in state.deployments) or "none"
    raise errors.InvalidFailoverPolicyError(
        f"{name} is not a deployment or deployed version of endpoint {state.name}",
        field="policy.backup",
        remedy=f"deploy it first; the endpoint has {there}",
    )


def _require_valid_regions(regions: tuple[str, ...], *, limit: int, field: str) -> None:
    wrong = next((region for region in regions if not _REGION.fullmatch(region)), None)
    if wrong is not None:
        raise errors.InvalidRegionsError(
            f"{wrong!r} is not a valid region name",
            field=field,
            remedy="use letters, digits, dots, dashes and underscores, as the agents of the region do",
        )
    if len(set(regions)) < len(regions) or len(regions) > limit:
        raise errors.InvalidRegionsError(
            "a region is named twice" if len(regions) <= limit else f"{len(regions)} regions are too many",
            field=field,
            remedy=f"name each region once, and at most {limit}",
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


def _unknown_deployment(state: Endpoint, deployment_id: str) -> errors.DeploymentNotFoundError:
    return errors.DeploymentNotFoundError(
        f"endpoint {state.name} has no deployment {deployment_id}", remedy="list the endpoint's deployments"
    )
