"""What gateways say of an endpoint's traffic: that they serve it."""

import msgspec

from control_plane.endpoints import errors
from control_plane.endpoints.aggregate import Endpoint
from control_plane.endpoints.commands import ConfirmTraffic
from schemas.events.endpoints import TrafficApplied


def confirm_traffic(state: Endpoint, command: ConfirmTraffic) -> list[msgspec.Struct]:
    """Record once per region that the current epoch is served; an epoch that is over is no longer of interest."""
    if command.epoch > (state.epoch or 0) or command.epoch < 1:
        raise errors.InvalidConfirmationError(
            f"endpoint {state.name} has no epoch {command.epoch}",
            field="epoch",
            remedy=f"its current epoch is {state.epoch}" if state.epoch else "it has no traffic yet",
        )
    is_known = any(each.region == command.region for each in state.applied)
    if command.epoch != state.epoch or is_known:
        return []
    return [
        TrafficApplied(
            epoch=command.epoch,
            region=command.region,
            gateway_id=command.gateway_id,
            applied_at=command.applied_at,
        )
    ]
