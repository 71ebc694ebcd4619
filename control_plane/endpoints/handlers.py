"""The command that creates an endpoint, and what the handlers of its parts share: load, append, answer."""

from collections.abc import Sequence

import msgspec

from control_plane.endpoints import aggregate, errors
from control_plane.endpoints.aggregate import NO_ENDPOINT, Endpoint
from control_plane.endpoints.commands import CreateEndpoint, RemoveEndpoint
from control_plane.endpoints.deployments import decisions
from control_plane.endpoints.deployments.commands import AddDeployment
from control_plane.endpoints.queries import deployable_version, endpoint_id_of, get_endpoint, unknown_endpoint
from control_plane.endpoints.resources import ENDPOINTS, RemovedEndpoint
from control_plane.endpoints.traffic.commands import SetTraffic
from control_plane.endpoints.traffic.decisions import set_traffic
from control_plane.errors import Invalid
from control_plane.ports import Loaded, Reply, UnitOfWork
from schemas.envelope import unix_ms
from schemas.identifiers import Kind

_OK, _CREATED = 200, 201


def create_endpoint(uow: UnitOfWork, command: CreateEndpoint, *, expected_version: int | None) -> Reply:
    """Create an endpoint; with a version it also gets its first deployment, which serves everything."""
    if uow.catalogue.id_of(Kind.ENDPOINT, command.name, workspace=uow.actor.workspace) is not None:
        raise errors.EndpointNameTakenError(
            f"there is an endpoint called {command.name}", field="name", remedy="choose another name"
        )
    endpoint_id = uow.new_id(Kind.ENDPOINT)
    require_version(0, expected_version)
    events = aggregate.create(command, salt=endpoint_id.rsplit("-", 1)[-1])
    endpoint = append(uow, endpoint_id, Loaded(NO_ENDPOINT, 0), events)
    if command.version is not None:
        endpoint, deployment_id = add_version(
            uow, endpoint, version=command.version, replicas=command.replicas, regions=command.regions
        )
        shift = SetTraffic(weights=((deployment_id, 100.0),), reason=f"the endpoint starts with {command.version}")
        endpoint = append(uow, endpoint_id, endpoint, set_traffic(endpoint.state, shift, ready=None))
    return endpoint_reply(uow, endpoint, status=_CREATED)


def remove_endpoint(uow: UnitOfWork, endpoint: str, command: RemoveEndpoint, *, expected_version: int | None) -> Reply:
    """Stop serving an endpoint for good."""
    loaded = load_endpoint(uow, endpoint, expected_version=expected_version)
    after = append(uow, loaded.state.id, loaded, decisions.remove_endpoint(loaded.state, command))
    body = RemovedEndpoint(id=loaded.state.id, name=loaded.state.name)
    return Reply(status=_OK, body=msgspec.json.encode(body), stream_version=after.version)


def load_endpoint(uow: UnitOfWork, endpoint: str, *, expected_version: int | None = None) -> Loaded[Endpoint]:
    """Load an endpoint by its name or id, at the version that the caller has seen."""
    loaded = uow.load(ENDPOINTS, endpoint_id_of(uow.catalogue, endpoint, workspace=uow.actor.workspace))
    if loaded.version == 0 or loaded.state.is_removed:
        raise unknown_endpoint(endpoint)
    require_version(loaded.version, expected_version)
    return loaded


def add_version(
    uow: UnitOfWork, endpoint: Loaded[Endpoint], *, version: str, replicas: int, regions: tuple[str, ...] = ()
) -> tuple[Loaded[Endpoint], str]:
    """Append a deployment of a version; return the endpoint and the deployment's id."""
    deployment_id = uow.new_id(Kind.DEPLOYMENT)
    command = AddDeployment(
        deployment_id=deployment_id,
        version=deployable_version(uow.catalogue, version, workspace=uow.actor.workspace),
        replicas=replicas,
        regions=regions,
    )
    events = decisions.add_deployment(endpoint.state, command)
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


def moment(text: str, *, field: str) -> str:
    """Return the time as given, or refuse an invalid one."""
    try:
        unix_ms(text)
    except ValueError as error:
        raise Invalid(
            f"{text!r} is not a valid time", field=field, remedy="use RFC 3339, such as 2026-01-02T03:04:05.678Z"
        ) from error
    return text
