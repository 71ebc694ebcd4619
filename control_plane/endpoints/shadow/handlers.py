"""One function a command on copies of requests: load, decide, append, answer."""

from control_plane.endpoints.aggregate import Endpoint
from control_plane.endpoints.handlers import add_version, append, endpoint_reply, load_endpoint
from control_plane.endpoints.queries import deployable_version, ready_instances
from control_plane.endpoints.shadow import commands, decisions
from control_plane.endpoints.shadow.requests import SetShadowRequest
from control_plane.errors import Invalid
from control_plane.ports import Loaded, Reply, UnitOfWork


def set_shadow(uow: UnitOfWork, endpoint: str, request: SetShadowRequest, *, expected_version: int | None) -> Reply:
    """Copy requests to a deployment; one that is made for it gets them once it is ready."""
    loaded = load_endpoint(uow, endpoint, expected_version=expected_version)
    if (request.deployment_id is None) == (request.version is None):
        raise Invalid("a shadow is either a deployment or a version", field="version", remedy="name one of the two")
    ready = None
    if request.version is not None:
        loaded, deployment_id = _of_version(uow, loaded, version=request.version, replicas=request.replicas)
    else:
        deployment_id = str(request.deployment_id)
        ready = ready_instances(uow.catalogue, loaded.state.id, workspace=uow.actor.workspace)
    command = commands.SetShadow(deployment_id=deployment_id, percent=request.percent, reason=request.reason)
    events = decisions.set_shadow(loaded.state, command, ready=ready)
    return endpoint_reply(uow, append(uow, loaded.state.id, loaded, events))


def remove_shadow(
    uow: UnitOfWork, endpoint: str, command: commands.RemoveShadow, *, expected_version: int | None
) -> Reply:
    """Copy nothing any more; the deployment stays."""
    loaded = load_endpoint(uow, endpoint, expected_version=expected_version)
    events = decisions.remove_shadow(loaded.state, command)
    return endpoint_reply(uow, append(uow, loaded.state.id, loaded, events))


def _of_version(
    uow: UnitOfWork, endpoint: Loaded[Endpoint], *, version: str, replicas: int
) -> tuple[Loaded[Endpoint], str]:
    """Take a deployment of the version that serves no one, or add one."""
    version_id = deployable_version(uow.catalogue, version, workspace=uow.actor.workspace).reference.version_id
    for each in endpoint.state.deployments.present:
        if each.version.version_id == version_id and not endpoint.state.traffic.weights.get(each.deployment_id):
            return endpoint, each.deployment_id
    return add_version(uow, endpoint, version=version, replicas=replicas)
