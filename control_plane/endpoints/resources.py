"""How endpoints and instances are kept in the catalogue and shown to callers."""

from collections.abc import Sequence
from typing import Literal

import msgspec

from control_plane.endpoints import aggregate
from control_plane.endpoints.instances import state as instances
from control_plane.endpoints.traffic.buckets import weights_of
from control_plane.ports import Aggregate, CatalogueRow
from schemas.events.endpoints import (
    DEFAULT_KEY,
    Allocation,
    AssignmentKey,
    CapturePolicy,
    DeploymentAdded,
    FailoverPolicy,
    FailoverStarted,
    ShadowSet,
    TrafficApplied,
    VersionReference,
)
from schemas.events.registry import Artifact, GoldenExample, Signature
from schemas.identifiers import Kind
from schemas.scaling import ScalingPolicy

DeploymentState = Literal["starting", "ready", "degraded", "failed", "asleep"]


class InstanceRow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An instance, in the catalogue and for callers; the address is empty where it never took traffic."""

    id: str
    workspace: str
    endpoint_id: str
    deployment_id: str
    agent_id: str
    phase: str
    boot_id: str = ""
    host: str = ""
    port: int = 0
    region: str = ""
    zone: str = ""
    code: str | None = None
    reason: str | None = None
    created_at: str
    stream_version: int


class StoredDeployment(msgspec.Struct, frozen=True, kw_only=True):
    """A deployment with all that an agent needs in order to start it."""

    id: str
    version: VersionReference
    artifact: Artifact
    signature: Signature
    golden: GoldenExample | None
    replicas: int
    scaling_version: int = 0
    regions: tuple[str, ...] = ()

    @property
    def min_instances(self) -> int:
        """How many instances there are to be at least: so many in each region that is named."""
        return self.replicas * max(1, len(self.regions))


class EndpointRow(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint in the catalogue."""

    id: str
    workspace: str
    name: str
    description: str
    salt: str
    epoch: int | None
    allocations: tuple[Allocation, ...]
    deployments: tuple[StoredDeployment, ...]
    applied: tuple[TrafficApplied, ...]
    active_rollout_id: str | None
    created_at: str
    stream_version: int
    capture: CapturePolicy = CapturePolicy()
    capture_version: int = 0
    scaling: ScalingPolicy | None = None
    failover: FailoverPolicy = FailoverPolicy()
    failovers: tuple[FailoverStarted, ...] = ()
    shadow: ShadowSet | None = None
    assigned_by: AssignmentKey = DEFAULT_KEY


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
    instances: tuple[InstanceRow, ...]
    regions: tuple[str, ...] = ()
    failure: str | None = None


class EndpointResource(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint as callers see it."""

    id: str
    name: str
    description: str
    epoch: int | None
    allocations: tuple[Allocation, ...]
    deployments: tuple[DeploymentResource, ...]
    applied: tuple[TrafficApplied, ...]
    active_rollout_id: str | None
    created_at: str
    stream_version: int
    capture: CapturePolicy = CapturePolicy()
    capture_version: int = 0
    scaling: ScalingPolicy | None = None
    failover: FailoverPolicy = FailoverPolicy()
    failovers: tuple[FailoverStarted, ...] = ()
    shadow: ShadowSet | None = None
    assigned_by: AssignmentKey = DEFAULT_KEY


def decode_endpoint(row: CatalogueRow) -> EndpointRow:
    """Read the body of an endpoint's catalogue row."""
    return msgspec.json.decode(row.body, type=EndpointRow)


def decode_instance(row: CatalogueRow) -> InstanceRow:
    """Read the body of an instance's catalogue row."""
    return msgspec.json.decode(row.body, type=InstanceRow)


def endpoint_resource(row: EndpointRow, instances: Sequence[InstanceRow]) -> EndpointResource:
    """Join an endpoint with its announced and failed instances."""
    weights = weights_of(row.allocations)
    return EndpointResource(
        id=row.id,
        name=row.name,
        description=row.description,
        epoch=row.epoch,
        allocations=row.allocations,
        deployments=tuple(
            deployment_resource(each, instances, weight_percent=weights.get(each.id, 0.0)) for each in row.deployments
        ),
        applied=row.applied,
        active_rollout_id=row.active_rollout_id,
        created_at=row.created_at,
        stream_version=row.stream_version,
        capture=row.capture,
        capture_version=row.capture_version,
        scaling=row.scaling,
        failover=row.failover,
        failovers=row.failovers,
        shadow=row.shadow,
        assigned_by=row.assigned_by,
    )


def deployment_resource(
    deployment: StoredDeployment, instances: Sequence[InstanceRow], *, weight_percent: float
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


def deployment_row(state: aggregate.Endpoint, deployment: DeploymentAdded) -> StoredDeployment:
    """Turn the fact, with the replicas and regions that it has by now, into what the catalogue keeps."""
    replicas = state.scaling.replicas[deployment.deployment_id]
    return StoredDeployment(
        id=deployment.deployment_id,
        version=deployment.version,
        artifact=deployment.artifact,
        signature=deployment.signature,
        golden=deployment.golden,
        replicas=replicas.count,
        scaling_version=state.scaling.version_of(deployment.deployment_id),
        regions=state.deployments.regions_of(deployment.deployment_id),
    )


def endpoint_row(state: aggregate.Endpoint) -> EndpointRow:
    """Turn the folded state into what the catalogue keeps."""
    return EndpointRow(
        id=state.id,
        workspace=state.workspace,
        name=state.name,
        description=state.description,
        salt=state.salt,
        epoch=state.traffic.epoch,
        allocations=state.traffic.allocations,
        deployments=tuple(deployment_row(state, each) for each in state.deployments.present),
        applied=state.traffic.applied,
        active_rollout_id=state.traffic.owner,
        created_at=state.created_at,
        stream_version=state.stream_version,
        capture=state.capture.policy,
        capture_version=state.capture.version,
        scaling=state.scaling.policy,
        failover=state.failover.policy,
        failovers=state.failover.current,
        shadow=state.shadow,
        assigned_by=state.assigned_by,
    )


def instance_row(state: instances.Instance) -> InstanceRow:
    """Turn the folded state into what the catalogue keeps."""
    address = state.address
    return InstanceRow(
        id=state.id,
        workspace=state.workspace,
        endpoint_id=state.endpoint_id,
        deployment_id=state.deployment_id,
        agent_id=state.agent_id,
        phase=state.phase,
        boot_id=address.boot_id if address else "",
        host=address.host if address else "",
        port=address.port if address else 0,
        region=address.region if address else "",
        zone=address.zone if address else "",
        code=state.code,
        reason=state.reason,
        created_at=state.created_at,
        stream_version=state.stream_version,
    )


def _state(deployment: StoredDeployment, instances: Sequence[InstanceRow]) -> DeploymentState:
    announced = sum(each.phase == "announced" for each in instances)
    if deployment.replicas == 0 and not announced:
        return "asleep"
    if announced >= deployment.min_instances:
        return "ready"
    if announced:
        return "degraded"
    return "failed" if instances else "starting"


def _failure(deployment: StoredDeployment, instances: Sequence[InstanceRow]) -> str | None:
    if _state(deployment, instances) not in {"failed", "degraded"}:
        return None
    failed = sorted((each for each in instances if each.phase == "failed"), key=lambda each: each.created_at)
    return f"{failed[-1].reason} ({failed[-1].code})" if failed else None


def _endpoint_catalogue_row(state: aggregate.Endpoint) -> CatalogueRow | None:
    if state.stream_version == 0:
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


def _instance_catalogue_row(state: instances.Instance) -> CatalogueRow | None:
    if state.stream_version == 0:
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
        body=msgspec.json.encode(instance_row(state)),
    )


ENDPOINTS = Aggregate(
    kind=Kind.ENDPOINT,
    body=EndpointRow,
    initial=aggregate.Endpoint(),
    evolve=aggregate.evolve,
    row=_endpoint_catalogue_row,
)
INSTANCES = Aggregate(
    kind=Kind.INSTANCE,
    body=InstanceRow,
    initial=instances.Instance(),
    evolve=instances.evolve,
    row=_instance_catalogue_row,
)
