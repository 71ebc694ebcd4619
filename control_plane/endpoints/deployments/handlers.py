"""One function a command on deployments: load, decide, append, answer."""

import msgspec

from control_plane.endpoints.deployments import decisions
from control_plane.endpoints.deployments.commands import PlaceDeployment, RemoveDeployment
from control_plane.endpoints.deployments.requests import (
    AddDeploymentRequest,
    PlaceDeploymentRequest,
    RemoveDeploymentRequest,
)
from control_plane.endpoints.handlers import add_version, append, endpoint_reply, load_endpoint
from control_plane.endpoints.resources import deployment_resource, endpoint_row
from control_plane.ports import Reply, UnitOfWork

_CREATED = 201


def add_deployment(
    uow: UnitOfWork, endpoint: str, request: AddDeploymentRequest, *, expected_version: int | None
) -> Reply:
    """Make a version available on the endpoint, without traffic."""
    loaded = load_endpoint(uow, endpoint, expected_version=expected_version)
    loaded, deployment_id = add_version(
        uow, loaded, version=request.version, replicas=request.replicas, regions=request.regions
    )
    (document,) = (each for each in endpoint_row(loaded.state).deployments if each.id == deployment_id)
    resource = deployment_resource(document, (), weight_percent=0.0)
    return Reply(status=_CREATED, body=msgspec.json.encode(resource), stream_version=loaded.version)


def place_deployment(
    uow: UnitOfWork,
    endpoint: str,
    deployment_id: str,
    request: PlaceDeploymentRequest,
    *,
    expected_version: int | None,
) -> Reply:
    """Say in which regions a deployment has its instances."""
    loaded = load_endpoint(uow, endpoint, expected_version=expected_version)
    command = PlaceDeployment(deployment_id=deployment_id, regions=request.regions, reason=request.reason)
    events = decisions.place_deployment(loaded.state, command)
    return endpoint_reply(uow, append(uow, loaded.state.id, loaded, events))


def remove_deployment(
    uow: UnitOfWork,
    endpoint: str,
    deployment_id: str,
    request: RemoveDeploymentRequest,
    *,
    expected_version: int | None,
) -> Reply:
    """Take a deployment away that serves nothing."""
    loaded = load_endpoint(uow, endpoint, expected_version=expected_version)
    command = RemoveDeployment(deployment_id=deployment_id, reason=request.reason)
    events = decisions.remove_deployment(loaded.state, command, by_rollout=None)
    return endpoint_reply(uow, append(uow, loaded.state.id, loaded, events))
