"""One function a command: load, decide, append, answer. The rules are in the aggregate."""

from collections.abc import Sequence

import msgspec

from control_plane.endpoints import aggregate, applied_traffic, capture, commands, errors, failover, instance
from control_plane.endpoints.aggregate import Endpoint
from control_plane.endpoints.instance import Instance
from control_plane.endpoints.queries import (
    deployable_version,
    endpoint_id_of,
    get_endpoint,
    ready_instances,
    unknown_endpoint,
)
from control_plane.endpoints.requests import (
    AddDeploymentRequest,
    AnnounceInstanceRequest,
    CreateEndpointRequest,
    RemoveDeploymentRequest,
    SetTrafficRequest,
)
from control_plane.endpoints.resources import (
    ENDPOINTS,
    INSTANCES,
    deployment_resource,
    deployment_row,
    instance_row,
)
from control_plane.errors import Invalid
from control_plane.ports import Loaded, Reply, UnitOfWork
from schemas.envelope import unix_ms
from schemas.identifiers import Kind, kind_of

_OK, _CREATED = 200, 201


def create_endpoint(uow: UnitOfWork, request: CreateEndpointRequest, *, expected_version: int | None) -> Reply:
    """Create an endpoint; with a version it also gets its first deployment, which serves everything."""
    if uow.catalogue.id_of(Kind.ENDPOINT, request.name, workspace=uow.actor.workspace) is not None:
        raise errors.EndpointNameTakenError(
            f"there is an endpoint called {request.name}", field="name", remedy="choose another name"
        )
    endpoint_id = uow.new_id(Kind.ENDPOINT)
    require_version(0, expected_version)
    command = commands.CreateEndpoint(
        name=request.name, description=request.description, salt=endpoint_id.rsplit("-", 1)[-1]
    )
    endpoint = append(uow, endpoint_id, Loaded(Endpoint(), 0), aggregate.create(command))
    if request.version is not None:
        endpoint, deployment_id = add_version(
            uow, endpoint, version=request.version, replicas=request.replicas, regions=request.regions
        )
        shift = commands.SetTraffic(
            weights=((deployment_id, 100.0),), reason=f"the endpoint starts with {request.version}"
        )
        endpoint = append(uow, endpoint_id, endpoint, aggregate.set_traffic(endpoint.state, shift, ready=None))
    return endpoint_reply(uow, endpoint, status=_CREATED)


def add_deployment(
    uow: UnitOfWork, endpoint: str, request: AddDeploymentRequest, *, expected_version: int | None
) -> Reply:
    """Make a version available on the endpoint, without traffic."""
    loaded = load_endpoint(uow, endpoint, expected_version=expected_version)
    loaded, deployment_id = add_version(
        uow, loaded, version=request.version, replicas=request.replicas, regions=request.regions
    )
    deployment = loaded.state.deployment(deployment_id)
    assert deployment is not None
    resource = deployment_resource(deployment_row(loaded.state, deployment), (), weight_percent=0.0)
    return Reply(status=_CREATED, body=msgspec.json.encode(resource), stream_version=loaded.version)


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
    command = commands.RemoveDeployment(deployment_id=deployment_id, reason=request.reason)
    events = aggregate.remove_deployment(loaded.state, command, by_rollout=None)
    return endpoint_reply(uow, append(uow, loaded.state.id, loaded, events))


def set_traffic(uow: UnitOfWork, endpoint: str, request: SetTrafficRequest, *, expected_version: int | None) -> Reply:
    """Split the traffic by hand."""
    loaded = load_endpoint(uow, endpoint, expected_version=expected_version)
    command = commands.SetTraffic(
        weights=tuple((each.deployment_id, each.weight_percent) for each in request.weights), reason=request.reason
    )
    ready = ready_instances(uow.catalogue, loaded.state.id, workspace=uow.actor.workspace)
    events = aggregate.set_traffic(loaded.state, command, ready=ready)
    return endpoint_reply(uow, append(uow, loaded.state.id, loaded, events))


def change_capture_policy(
    uow: UnitOfWork, endpoint: str, command: commands.ChangeCapturePolicy, *, expected_version: int | None
) -> Reply:
    """Choose what is kept of the endpoint's predictions, whoever owns its traffic."""
    loaded = load_endpoint(uow, endpoint, expected_version=expected_version)
    events = capture.change_capture_policy(loaded.state, command)
    return endpoint_reply(uow, append(uow, loaded.state.id, loaded, events))


def confirm_traffic(
    uow: UnitOfWork, endpoint: str, command: commands.ConfirmTraffic, *, expected_version: int | None
) -> Reply:
    """Record that a region's gateways serve an epoch."""
    loaded = load_endpoint(uow, endpoint, expected_version=expected_version)
    moment(command.applied_at, field="applied_at")
    events = applied_traffic.confirm_traffic(loaded.state, command)
    return endpoint_reply(uow, append(uow, loaded.state.id, loaded, events))


def announce_instance(uow: UnitOfWork, request: AnnounceInstanceRequest, *, expected_version: int | None) -> Reply:
    """Record where an engine takes traffic."""
    _require_deployment(uow, request.endpoint_id, request.deployment_id)
    instance_id = request.instance_id or uow.new_id(Kind.INSTANCE)
    loaded = _load_instance(uow, instance_id, expected_version=expected_version)
    command = commands.AnnounceInstance(
        endpoint_id=request.endpoint_id,
        deployment_id=request.deployment_id,
        agent_id=request.agent_id,
        boot_id=request.boot_id,
        host=request.host,
        port=request.port,
        region=request.region,
        zone=request.zone,
    )
    events = instance.announce(loaded.state, command)
    return _instance_reply(uow, instance_id, loaded, events, status=_CREATED if loaded.version == 0 else _OK)


def withdraw_instance(
    uow: UnitOfWork, instance_id: str, command: commands.WithdrawInstance, *, expected_version: int | None
) -> Reply:
    """Record that an engine takes no traffic any more."""
    loaded = _load_instance(uow, instance_id, expected_version=expected_version)
    if loaded.version == 0:
        raise errors.InstanceNotFoundError(f"there is no instance {instance_id}", remedy="announce it first")
    events = instance.withdraw(loaded.state, command)
    return _instance_reply(uow, instance_id, loaded, events)


def fail_instance(
    uow: UnitOfWork, instance_id: str, command: commands.FailInstance, *, expected_version: int | None
) -> Reply:
    """Record that an agent gave up on an engine, which may never have been announced."""
    loaded = _load_instance(uow, instance_id, expected_version=expected_version)
    events = instance.fail(loaded.state, command)
    return _instance_reply(uow, instance_id, loaded, events)


def load_endpoint(uow: UnitOfWork, endpoint: str, *, expected_version: int | None = None) -> Loaded[Endpoint]:
    """Load an endpoint by its name or id, at the version that the caller has seen."""
    loaded = uow.load(ENDPOINTS, endpoint_id_of(uow.catalogue, endpoint, workspace=uow.actor.workspace))
    if loaded.version == 0:
        raise unknown_endpoint(endpoint)
    require_version(loaded.version, expected_version)
    return loaded


def add_version(
    uow: UnitOfWork, endpoint: Loaded[Endpoint], *, version: str, replicas: int, regions: tuple[str, ...] = ()
) -> tuple[Loaded[Endpoint], str]:
    """Append a deployment of a version; return the endpoint and the deployment's id."""
    deployment_id = uow.new_id(Kind.DEPLOYMENT)
    command = commands.AddDeployment(
        deployment_id=deployment_id,
        version=deployable_version(uow.catalogue, version, workspace=uow.actor.workspace),
        replicas=replicas,
    )
    events = aggregate.add_deployment(endpoint.state, command)
    if regions:
        place = commands.PlaceDeployment(deployment_id=deployment_id, regions=regions, reason="placed from the start")
        events = [*failover.begin_with_placement(place), *events]
    return append(uow, endpoint.state.id, endpoint, events), deployment_id


def append(
    uow: UnitOfWork, stream: str, endpoint: Loaded[Endpoint], events: Sequence[msgspec.Struct]
) -> Loaded[Endpoint]:
    """Append what was decided; nothing decided leaves the endpoint as it is."""
    return uow.append(ENDPOINTS, stream, expected_version=endpoint.version, events=events) if events else endpoint


def require_version(version: int, expected: int | None) -> None:
    """Refuse a caller who has seen another version."""
    if expected is not None and expected != version:
        raise errors.StaleVersionError(
            f"the stream is at version {version}, not {expected}",
            field="If-Match",
            remedy="read it again and send the command against the version it has now",
        )


def endpoint_reply(uow: UnitOfWork, endpoint: Loaded[Endpoint], *, status: int = _OK) -> Reply:
    """Answer with the endpoint as it stands in this transaction."""
    resource = get_endpoint(uow.catalogue, endpoint.state.id, workspace=uow.actor.workspace)
    return Reply(status=status, body=msgspec.json.encode(resource), stream_version=endpoint.version)


def _load_instance(uow: UnitOfWork, instance_id: str, *, expected_version: int | None) -> Loaded[Instance]:
    if kind_of(instance_id) is not Kind.INSTANCE:
        raise Invalid(
            f"{instance_id!r} is not a valid instance id",
            field="instance_id",
            remedy="use instance- and a UUID of version 7",
        )
    loaded = uow.load(INSTANCES, instance_id)
    require_version(loaded.version, expected_version)
    return loaded


def _instance_reply(
    uow: UnitOfWork,
    instance_id: str,
    loaded: Loaded[Instance],
    events: Sequence[msgspec.Struct],
    *,
    status: int = _OK,
) -> Reply:
    if events:
        loaded = uow.append(INSTANCES, instance_id, expected_version=loaded.version, events=events)
    return Reply(status=status, body=msgspec.json.encode(instance_row(loaded.state)), stream_version=loaded.version)


def _require_deployment(uow: UnitOfWork, endpoint_id: str, deployment_id: str) -> None:
    if load_endpoint(uow, endpoint_id).state.deployment(deployment_id) is None:
        raise errors.DeploymentNotFoundError(
            f"endpoint {endpoint_id} has no deployment {deployment_id}",
            field="deployment_id",
            remedy="stop the instance; its deployment was removed",
        )


def moment(text: str, *, field: str) -> str:
    """Return the time as given, or refuse an invalid one."""
    try:
        unix_ms(text)
    except ValueError as error:
        raise Invalid(
            f"{text!r} is not a valid time", field=field, remedy="use RFC 3339, such as 2026-01-02T03:04:05.678Z"
        ) from error
    return text
