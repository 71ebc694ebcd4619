"""What follows for instances from the end of their deployment."""

from control_plane.endpoints.instances import decisions
from control_plane.endpoints.queries import instances_of
from control_plane.endpoints.resources import ENDPOINTS, INSTANCES
from control_plane.ports import EventContext, UnitOfWork
from control_plane.processes.process import Process
from schemas.events.endpoints import DeploymentRemoved, EndpointRemoved, InstanceFailed


def when_deployment_removed(unit: UnitOfWork, event: DeploymentRemoved, context: EventContext) -> None:
    """Withdraw its failed instances, of which no agent speaks any more; agents withdraw those that run."""
    for instance in instances_of(unit.catalogue, context.stream, workspace=context.workspace, phases=("failed",)):
        if instance.deployment_id == event.deployment_id:
            _forget(unit, instance.id)


def when_endpoint_removed(unit: UnitOfWork, _event: EndpointRemoved, context: EventContext) -> None:
    """Withdraw its failed instances, of which no agent speaks any more; agents withdraw those that run."""
    for instance in instances_of(unit.catalogue, context.stream, workspace=context.workspace, phases=("failed",)):
        _forget(unit, instance.id)


def when_instance_failed(unit: UnitOfWork, event: InstanceFailed, context: EventContext) -> None:
    """Withdraw an instance whose failure was reported after its deployment was removed."""
    endpoint = unit.load(ENDPOINTS, event.endpoint_id)
    if endpoint.state.deployments.find(event.deployment_id) is None:
        _forget(unit, context.stream)


def _forget(unit: UnitOfWork, instance_id: str) -> None:
    loaded = unit.load(INSTANCES, instance_id)
    events = decisions.forget(loaded.state, reason="its deployment was removed")
    unit.append(INSTANCES, instance_id, expected_version=loaded.version, events=events)


PROCESS = Process(
    name="instances",
    when={
        DeploymentRemoved: when_deployment_removed,
        EndpointRemoved: when_endpoint_removed,
        InstanceFailed: when_instance_failed,
    },
)
