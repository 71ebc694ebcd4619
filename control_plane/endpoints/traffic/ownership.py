"""Which rollout may change the traffic, and with it the endpoint's deployments."""

import msgspec

from control_plane.endpoints import errors
from control_plane.endpoints.aggregate import Endpoint
from control_plane.endpoints.traffic.commands import ReleaseEndpoint, ReserveEndpoint
from schemas.events.endpoints import EndpointReleased, EndpointReserved


def reserve(state: Endpoint, command: ReserveEndpoint) -> list[msgspec.Struct]:
    """Give the traffic to a rollout, unless another has it."""
    require_owner(state, command.rollout_id)
    return [] if state.traffic.owner == command.rollout_id else [EndpointReserved(rollout_id=command.rollout_id)]


def release(state: Endpoint, command: ReleaseEndpoint) -> list[msgspec.Struct]:
    """Take the traffic back from a rollout; one that does not have it has nothing to give."""
    return [EndpointReleased(rollout_id=command.rollout_id)] if state.traffic.owner == command.rollout_id else []


def require_owner(state: Endpoint, rollout_id: str | None) -> None:
    """Refuse whoever does not own the traffic while a rollout does; None is a person."""
    if state.traffic.owner not in (None, rollout_id):
        raise errors.EndpointOwnedByRolloutError(
            f"{state.traffic.owner} owns the traffic of endpoint {state.name}",
            remedy="wait until it is over, or abort it",
        )
