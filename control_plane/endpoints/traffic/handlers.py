"""One function a command on traffic: load, decide, append, answer. The rollback is with the rollouts."""

from control_plane.endpoints.handlers import append, endpoint_reply, load_endpoint, moment
from control_plane.endpoints.queries import ready_instances
from control_plane.endpoints.traffic import decisions
from control_plane.endpoints.traffic.commands import ConfirmTraffic, SetTraffic
from control_plane.endpoints.traffic.requests import SetTrafficRequest
from control_plane.ports import Reply, UnitOfWork


def set_traffic(uow: UnitOfWork, endpoint: str, request: SetTrafficRequest, *, expected_version: int | None) -> Reply:
    """Split the traffic by hand."""
    loaded = load_endpoint(uow, endpoint, expected_version=expected_version)
    command = SetTraffic(
        weights=tuple((each.deployment_id, each.weight_percent) for each in request.weights), reason=request.reason
    )
    ready = ready_instances(uow.catalogue, loaded.state.id, workspace=uow.actor.workspace)
    events = decisions.set_traffic(loaded.state, command, ready=ready)
    return endpoint_reply(uow, append(uow, loaded.state.id, loaded, events))


def confirm_traffic(uow: UnitOfWork, endpoint: str, command: ConfirmTraffic, *, expected_version: int | None) -> Reply:
    """Record that a gateway serves an epoch."""
    loaded = load_endpoint(uow, endpoint, expected_version=expected_version)
    moment(command.applied_at, field="applied_at")
    events = decisions.confirm_traffic(loaded.state, command)
    return endpoint_reply(uow, append(uow, loaded.state.id, loaded, events))
