"""What is waited for, in a sentence."""

from rollbook.errors import RollbookError
from rollbook.resources import Endpoint, Rollout


def line_of(rollout: Rollout) -> str:
    """Say how far a rollout is, and why; phases and weights stand below each other."""
    return f"{rollout.phase:<9}  {rollout.weight_percent:>5g} %  {rollout.reason}".rstrip()


def require_no_failure(endpoint: Endpoint) -> None:
    """Refuse to wait for an endpoint of which a deployment failed.

    Raises:
        RollbookError: one did; the sentence says why.
    """
    for deployment in endpoint.deployments:
        if deployment.failure:
            raise RollbookError(f"{deployment.version} cannot be served by {endpoint.name}: {deployment.failure}")


def awaited(endpoint: Endpoint) -> str:
    """Say what is missing until an endpoint answers, or nothing."""
    for deployment in endpoint.deployments:
        if deployment.state not in {"ready", "asleep"}:
            wanted = deployment.replicas * max(1, len(deployment.regions))
            return f"{deployment.version} is {deployment.state}, {len(deployment.instances)} of {wanted} ready"
    is_routed = endpoint.epoch is None or any(applied.epoch >= endpoint.epoch for applied in endpoint.applied)
    return "" if is_routed else "no gateway routes to it yet"
