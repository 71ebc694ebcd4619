"""The operations on an endpoint's traffic; its rollback is with the rollouts, which it may abort."""

from control_plane.endpoints import errors
from control_plane.endpoints.resources import EndpointResource
from control_plane.endpoints.traffic import handlers
from control_plane.endpoints.traffic.commands import ConfirmTraffic
from control_plane.endpoints.traffic.requests import SetTrafficRequest
from control_plane.errors import Invalid
from infra.operations import GATEWAY, OPERATORS, SERVICES, Command, Operation


def operations() -> list[Operation]:
    """Declare them."""
    return [
        Command(
            method="PUT",
            path="/v1/endpoints/{endpoint}/traffic",
            handler=handlers.set_traffic,
            sdk="endpoints.set_traffic",
            asks=SetTrafficRequest,
            answers=EndpointResource,
            roles=OPERATORS,
            summary="Set the traffic split by hand",
            errors=(
                *errors.UNKNOWN_DEPLOYMENT,
                errors.InvalidWeightsError,
                errors.DeploymentNotReadyError,
                errors.EndpointOwnedByRolloutError,
            ),
        ),
        Command(
            method="POST",
            path="/v1/endpoints/{endpoint}/applied",
            handler=handlers.confirm_traffic,
            asks=ConfirmTraffic,
            answers=EndpointResource,
            roles=SERVICES,
            duties=GATEWAY,
            is_for_installation=True,
            summary="Confirm that a gateway serves a traffic epoch",
            errors=(*errors.STALE, Invalid, errors.InvalidConfirmationError),
        ),
    ]
