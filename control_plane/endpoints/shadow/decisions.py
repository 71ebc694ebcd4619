"""The shadow of an endpoint: which deployment may get copies of its requests, and when it stops."""

from collections.abc import Mapping

import msgspec

from control_plane.endpoints import errors
from control_plane.endpoints.aggregate import Endpoint
from control_plane.endpoints.deployments.decisions import require_deployment
from control_plane.endpoints.shadow.commands import RemoveShadow, SetShadow
from control_plane.endpoints.traffic.buckets import buckets_of, weights_of
from control_plane.endpoints.traffic.ownership import require_owner
from schemas.events.endpoints import Allocation, ShadowRemoved, ShadowSet


def set_shadow(state: Endpoint, command: SetShadow, *, ready: Mapping[str, int] | None) -> list[msgspec.Struct]:
    """Copy requests to a deployment. `ready` counts instances; None where the deployment was added just now."""
    require_owner(state, None)
    _require_positive_share(command)
    _require_no_traffic(state, command)
    if ready is not None and not ready.get(command.deployment_id):
        raise errors.DeploymentNotReadyError(
            f"no instance of {command.deployment_id} is ready, so it cannot be a shadow of endpoint {state.name}",
            field="deployment_id",
            remedy="wait until the endpoint shows its state as ready",
        )
    now = state.shadow
    if now and (now.deployment_id, now.percent) == (command.deployment_id, command.percent):
        return []
    return [ShadowSet(deployment_id=command.deployment_id, percent=command.percent, reason=command.reason)]


def remove_shadow(state: Endpoint, command: RemoveShadow) -> list[msgspec.Struct]:
    """Stop copying, whoever owns the traffic; without a shadow there is nothing to do."""
    if state.shadow is None:
        return []
    return [ShadowRemoved(deployment_id=state.shadow.deployment_id, reason=command.reason)]


def remove_serving_shadow(state: Endpoint, allocations: tuple[Allocation, ...]) -> list[msgspec.Struct]:
    """A deployment that serves gets no copies; the shift is what was asked for, a rollback above all, and wins."""
    if state.shadow is None or not weights_of(allocations).get(state.shadow.deployment_id):
        return []
    return [ShadowRemoved(deployment_id=state.shadow.deployment_id, reason="the deployment takes traffic itself")]


def _require_positive_share(command: SetShadow) -> None:
    if not buckets_of(command.percent):
        raise errors.InvalidShadowError(
            f"{command.percent:g} % of the requests cannot be copied",
            field="percent",
            remedy="give a number above 0 and up to 100, with at most two decimals, or remove the shadow",
        )


def _require_no_traffic(state: Endpoint, command: SetShadow) -> None:
    require_deployment(state, command.deployment_id, field="deployment_id")
    weight = state.traffic.weights.get(command.deployment_id)
    if weight:
        raise errors.DeploymentTakesTrafficError(
            f"deployment {command.deployment_id} serves {weight:g} % of endpoint {state.name} itself",
            field="deployment_id",
            remedy="name a deployment without traffic, or a version to deploy",
        )
