"""How the traffic is split: by weights, by going back to an earlier split, and what gateways say that they serve."""

from collections.abc import Mapping

import msgspec

from control_plane.endpoints import errors
from control_plane.endpoints.aggregate import Endpoint
from control_plane.endpoints.shadow.decisions import remove_serving_shadow
from control_plane.endpoints.traffic.buckets import buckets_of, reallocate, weights_of
from control_plane.endpoints.traffic.commands import ConfirmTraffic, RestoreTraffic, SetTraffic
from control_plane.endpoints.traffic.ownership import require_owner
from control_plane.endpoints.traffic.state import Epoch
from schemas.events.endpoints import BUCKETS, Allocation, TrafficApplied, TrafficShifted


def set_traffic(state: Endpoint, command: SetTraffic, *, ready: Mapping[str, int] | None) -> list[msgspec.Struct]:
    """Split the traffic. `ready` counts the instances per deployment; None where readiness was settled before."""
    require_owner(state, command.rollout_id)
    buckets = _buckets(state, command)
    allocations = reallocate(state.traffic.allocations, buckets)
    if weights_of(allocations) == state.traffic.weights:
        return []
    if ready is not None:
        _require_ready_deployments(state, allocations, ready, field="weights")
    shift = TrafficShifted(
        allocations=allocations, reason=command.reason, rollout_id=command.rollout_id, step=command.step
    )
    return [shift, *remove_serving_shadow(state, allocations)]


def restore_traffic(state: Endpoint, command: RestoreTraffic, *, ready: Mapping[str, int]) -> list[msgspec.Struct]:
    """Give each bucket back to the deployment that had it at an earlier epoch, if it has an instance to serve it."""
    require_owner(state, None)
    earlier = _earlier(state, command.epoch)
    gone = [each.deployment_id for each in earlier.allocations if state.deployments.find(each.deployment_id) is None]
    if gone:
        raise errors.EarlierTrafficGoneError(
            f"epoch {earlier.number} of endpoint {state.name} was served by {' and '.join(gone)}, since removed",
            field="epoch",
            remedy="name another epoch, or add a deployment of that version and set the traffic",
        )
    if earlier.allocations == state.traffic.allocations:
        return []
    _require_ready_deployments(state, earlier.allocations, ready, field="epoch")
    shift = TrafficShifted(allocations=earlier.allocations, reason=command.reason, rollout_id=None, step=None)
    return [shift, *remove_serving_shadow(state, earlier.allocations)]


def confirm_traffic(state: Endpoint, command: ConfirmTraffic) -> list[msgspec.Struct]:
    """Record once per gateway that it serves the current epoch; an epoch that is over is no longer of interest."""
    if command.epoch > (state.traffic.epoch or 0) or command.epoch < 1:
        raise errors.InvalidConfirmationError(
            f"endpoint {state.name} has no epoch {command.epoch}",
            field="epoch",
            remedy=f"its current epoch is {state.traffic.epoch}" if state.traffic.epoch else "it has no traffic yet",
        )
    confirmed = {(each.region, each.gateway_id) for each in state.traffic.applied}
    is_known = (command.region, command.gateway_id) in confirmed
    if command.epoch != state.traffic.epoch or is_known:
        return []
    return [
        TrafficApplied(
            epoch=command.epoch,
            region=command.region,
            gateway_id=command.gateway_id,
            applied_at=command.applied_at,
        )
    ]


def _require_ready_deployments(
    state: Endpoint, allocations: tuple[Allocation, ...], ready: Mapping[str, int], *, field: str
) -> None:
    """Where nothing is served yet nothing can be lost, so the first split may come before the first instance."""
    before = state.traffic.weights
    for deployment_id, weight in weights_of(allocations).items():
        if before and weight > before.get(deployment_id, 0.0) and not ready.get(deployment_id):
            raise errors.DeploymentNotReadyError(
                f"no instance of {deployment_id} is ready, so it cannot take more traffic of endpoint {state.name}",
                field=field,
                remedy="wait until the endpoint shows its state as ready",
            )


def _buckets(state: Endpoint, command: SetTraffic) -> dict[str, int]:
    buckets: dict[str, int] = {}
    for index, (deployment_id, weight_percent) in enumerate(command.weights):
        if state.deployments.find(deployment_id) is None or deployment_id in buckets:
            what = "is named twice" if deployment_id in buckets else f"is not a deployment of endpoint {state.name}"
            raise errors.InvalidWeightsError(
                f"{deployment_id} {what}",
                field=f"weights[{index}].deployment_id",
                remedy="name each of the endpoint's deployments at most once",
            )
        share = buckets_of(weight_percent)
        if share is None:
            raise errors.InvalidWeightsError(
                f"{weight_percent:g} % is not a valid weight",
                field=f"weights[{index}].weight_percent",
                remedy="give 0 to 100 with at most two decimals",
            )
        buckets[deployment_id] = share
    if sum(buckets.values()) != BUCKETS:
        raise errors.InvalidWeightsError(
            f"the weights sum to {sum(buckets.values()) * 100 / BUCKETS:g} %, not 100 %",
            field="weights",
            remedy="change the weights so that they sum to 100",
        )
    return buckets


def _earlier(state: Endpoint, epoch: int | None) -> Epoch:
    """Return the named epoch; without a name, the last other split that can still be served."""
    for each in reversed(state.traffic.epochs):
        if each.number == epoch:
            return each
        is_other = each.allocations != state.traffic.allocations
        if epoch is None and is_other and all(state.deployments.find(part.deployment_id) for part in each.allocations):
            return each
    known = ", ".join(str(each.number) for each in state.traffic.epochs[-5:]) or "none"
    what = "no earlier traffic split that can still be served" if epoch is None else f"no epoch {epoch}"
    raise errors.EarlierTrafficGoneError(
        f"endpoint {state.name} has {what}",
        field="epoch",
        remedy=f"its last epochs are {known}; a version whose deployment was removed has to be added again",
    )
