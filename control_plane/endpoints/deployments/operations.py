"""The operations on an endpoint's deployments."""

from control_plane.endpoints import errors
from control_plane.endpoints.deployments import handlers
from control_plane.endpoints.deployments.requests import (
    AddDeploymentRequest,
    PlaceDeploymentRequest,
    RemoveDeploymentRequest,
)
from control_plane.endpoints.resources import DeploymentResource, EndpointResource
from infra.operations import OPERATORS, Command, Operation

_CREATED = 201


def operations() -> list[Operation]:
    """Declare them."""
    return [
        Command(
            method="POST",
            path="/v1/endpoints/{endpoint}/deployments",
            handler=handlers.add_deployment,
            sdk="endpoints.deploy",
            asks=AddDeploymentRequest,
            answers=DeploymentResource,
            status=_CREATED,
            roles=OPERATORS,
            summary="Deploy a version to an endpoint, without traffic",
            errors=(*errors.STALE, *errors.DEPLOYING),
        ),
        Command(
            method="POST",
            path="/v1/endpoints/{endpoint}/deployments/{deployment_id}/remove",
            handler=handlers.remove_deployment,
            sdk="endpoints.remove_deployment",
            asks=RemoveDeploymentRequest,
            answers=EndpointResource,
            roles=OPERATORS,
            summary="Remove a deployment that serves no traffic",
            errors=(
                *errors.UNKNOWN_DEPLOYMENT,
                errors.DeploymentTakesTrafficError,
                errors.DeploymentHasAdaptersError,
                errors.DeploymentIsBackupError,
                errors.DeploymentIsShadowError,
                errors.EndpointOwnedByRolloutError,
            ),
        ),
        Command(
            method="PUT",
            path="/v1/endpoints/{endpoint}/deployments/{deployment_id}/regions",
            handler=handlers.place_deployment,
            sdk="endpoints.place",
            asks=PlaceDeploymentRequest,
            answers=EndpointResource,
            roles=OPERATORS,
            summary="Set the regions in which a deployment runs its instances",
            errors=(*errors.UNKNOWN_DEPLOYMENT, errors.InvalidRegionsError),
        ),
    ]
