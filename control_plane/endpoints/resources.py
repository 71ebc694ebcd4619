"""How endpoints and instances are kept in the catalogue and shown to callers."""

from collections.abc import Sequence
from typing import Literal

import msgspec

from control_plane.endpoints import aggregate
from control_plane.endpoints.deployments.state import Contents
from control_plane.endpoints.instances.state import NO_INSTANCE
from control_plane.endpoints.instances.state import evolve as evolve_instance
from control_plane.endpoints.traffic.buckets import weights_of
from control_plane.ports import Aggregate, CatalogueRow, Content
from schemas.documents.endpoints import Deployment, Endpoint, EndpointBase, EndpointCore, Instance
from schemas.documents.shared import shared
from schemas.events.endpoints import DeploymentAdded
from schemas.identifiers import Kind

DeploymentState = Literal["starting", "ready", "degraded", "failed", "asleep"]


class DeploymentResource(msgspec.Struct, frozen=True, kw_only=True):
    """A deployment as callers see it; `version` is `model/number`.

    `failure` says what its last instance failed of, as long as fewer are ready than there should be.
    """

    id: str
    version: str
    version_id: str
    replicas: int
    weight_percent: float
    state: DeploymentState
    instances: tuple[Instance, ...]
    regions: tuple[str, ...] = ()
    failure: str | None = None


class EndpointResource(EndpointBase, frozen=True, kw_only=True):
    """An endpoint as callers see it."""

    deployments: tuple[DeploymentResource, ...]


class RemovedEndpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Which endpoint was removed."""

    id: str
    name: str


def decode_endpoint(row: CatalogueRow) -> Endpoint:
    """Read the body of an endpoint's catalogue row."""
    return msgspec.json.decode(row.body, type=Endpoint)


def decode_instance(row: CatalogueRow) -> Instance:
    """Read the body of an instance's catalogue row."""
    return msgspec.json.decode(row.body, type=Instance)


def endpoint_resource(row: Endpoint, instances: Sequence[Instance]) -> EndpointResource:
    """Join an endpoint with its announced and failed instances."""
    weights = weights_of(row.allocations)
    deployments = tuple(
        deployment_resource(each, instances, weight_percent=weights.get(each.id, 0.0)) for each in row.deployments
    )
    return EndpointResource(**shared(row, EndpointBase), deployments=deployments)


def deployment_resource(
    deployment: Deployment, instances: Sequence[Instance], *, weight_percent: float
) -> DeploymentResource:
    """Join a deployment with its instances."""
    mine = tuple(each for each in instances if each.deployment_id == deployment.id)
    return DeploymentResource(
        id=deployment.id,
        version=f"{deployment.version.model_name}/{deployment.version.number}",
        version_id=deployment.version.version_id,
        replicas=deployment.replicas,
        weight_percent=weight_percent,
        state=_state(deployment, mine),
        instances=tuple(each for each in mine if each.phase == "announced"),
        regions=deployment.regions,
        failure=_failure(deployment, mine),
    )


def endpoint_row(state: aggregate.Endpoint) -> Endpoint:
    """Turn the folded state into what the catalogue keeps."""
    return Endpoint(
        **shared(state, EndpointCore),
        workspace=state.workspace,
        salt=state.salt,
        epoch=state.traffic.epoch,
        allocations=state.traffic.allocations,
        deployments=tuple(
            _deployment(state, each, contents)
            for each, contents in zip(state.deployments.present, state.deployments.contents, strict=True)
        ),
        applied=state.traffic.applied,
        active_rollout_id=state.traffic.owner,
        capture=state.capture.policy,
        capture_version=state.capture.version,
        scaling=state.scaling.policy,
        failover=state.failover.policy,
        failovers=state.failover.current,
        regions=state.traffic.regions,
    )


def _deployment(state: aggregate.Endpoint, deployment: DeploymentAdded, contents: Contents) -> Deployment:
    """Turn the fact, with the replicas and regions that it has by now, into what the catalogue keeps."""
    replicas = state.scaling.replicas[deployment.deployment_id]
    return Deployment(
        id=deployment.deployment_id,
        version=deployment.version,
        artifact=deployment.artifact,
        signature_id=contents.signature.id,
        golden_id=contents.golden.id if contents.golden else None,
        replicas=replicas.count,
        scaling_version=state.scaling.version_of(deployment.deployment_id),
        regions=state.deployments.regions_of(deployment.deployment_id),
    )


def _state(deployment: Deployment, instances: Sequence[Instance]) -> DeploymentState:
    announced = sum(each.phase == "announced" for each in instances)
    if deployment.replicas == 0 and not announced:
        return "asleep"
    if announced >= deployment.min_instances:
        return "ready"
    if announced:
        return "degraded"
    return "failed" if instances else "starting"


def _failure(deployment: Deployment, instances: Sequence[Instance]) -> str | None:
    if _state(deployment, instances) not in {"failed", "degraded"}:
        return None
    failed = sorted((each for each in instances if each.phase == "failed"), key=lambda each: each.created_at)
    return f"{failed[-1].reason} ({failed[-1].code})" if failed else None


def _endpoint_catalogue_row(state: aggregate.Endpoint) -> CatalogueRow | None:
    if state.stream_version == 0 or state.is_removed:
        return None
    return CatalogueRow(
        workspace=state.workspace,
        kind=Kind.ENDPOINT,
        id=state.id,
        name=state.name,
        created_at=state.created_at,
        stream_version=state.stream_version,
        body=msgspec.json.encode(endpoint_row(state)),
    )


def _contents(state: aggregate.Endpoint) -> list[Content]:
    parts = (part for each in state.deployments.contents for part in (each.signature, each.golden))
    return [part for part in parts if part is not None]


def _instance_catalogue_row(state: Instance) -> CatalogueRow | None:
    # A withdrawn one stays in the log alone, or the catalogue would grow with each restart of an engine.
    if state.stream_version == 0 or state.phase == "withdrawn":
        return None
    return CatalogueRow(
        workspace=state.workspace,
        kind=Kind.INSTANCE,
        id=state.id,
        name=None,
        parent_id=state.endpoint_id,
        phase=state.phase,
        created_at=state.created_at,
        stream_version=state.stream_version,
        body=msgspec.json.encode(state),
    )


ENDPOINTS = Aggregate(
    kind=Kind.ENDPOINT,
    body=Endpoint,
    initial=aggregate.NO_ENDPOINT,
    evolve=aggregate.evolve,
    row=_endpoint_catalogue_row,
    is_followed=lambda state: state.stream_version > 0,
    contents=_contents,
)
INSTANCES = Aggregate(
    kind=Kind.INSTANCE,
    body=Instance,
    initial=NO_INSTANCE,
    evolve=evolve_instance,
    row=_instance_catalogue_row,
    is_followed=lambda state: state.phase in {"announced", "failed"},
)
