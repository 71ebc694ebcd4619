"""The operations on copies of requests."""

from control_plane.endpoints import errors
from control_plane.endpoints.resources import EndpointResource
from control_plane.endpoints.shadow import handlers
from control_plane.endpoints.shadow.commands import RemoveShadow
from control_plane.endpoints.shadow.requests import SetShadowRequest
from control_plane.errors import Invalid
from infra.operations import OPERATORS, Command, Operation


def operations() -> list[Operation]:
    """Declare them."""
    return [
        Command(
            method="PUT",
            path="/v1/endpoints/{endpoint}/shadow",
            handler=handlers.set_shadow,
            sdk="endpoints.set_shadow",
            asks=SetShadowRequest,
            answers=EndpointResource,
            roles=OPERATORS,
            summary="Copy a share of the requests to a version whose answers no caller sees",
            errors=(
                *errors.UNKNOWN_DEPLOYMENT,
                *errors.DEPLOYING,
                Invalid,
                errors.InvalidShadowError,
                errors.DeploymentNotReadyError,
                errors.DeploymentTakesTrafficError,
                errors.EndpointOwnedByRolloutError,
            ),
        ),
        Command(
            method="POST",
            path="/v1/endpoints/{endpoint}/shadow/remove",
            handler=handlers.remove_shadow,
            sdk="endpoints.remove_shadow",
            asks=RemoveShadow,
            answers=EndpointResource,
            roles=OPERATORS,
            summary="Stop copying requests to the shadow; its deployment stays",
            errors=errors.STALE,
        ),
    ]
