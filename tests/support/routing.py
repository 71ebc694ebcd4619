"""Builds the events and states of endpoints that the gateway's tests are about."""

import msgspec

from infra.kafka.serving_state import Documents
from schemas.catalogue import TYPE_NAMES
from schemas.documents.endpoints import Endpoint, Instance
from schemas.envelope import Envelope, encode_data
from schemas.events.endpoints import (
    Allocation,
    BucketRange,
    DeploymentAdded,
    EndpointCreated,
    FailoverPolicy,
    InstanceAnnounced,
    InstanceWithdrawn,
    TrafficShifted,
    VersionReference,
)
from schemas.events.registry import Artifact, Signature
from schemas.identifiers import EventId, StreamId
from serving.gateway.routing_state import EndpointRoute, RoutingSnapshot
from serving.gateway.routing_table import RoutingTable
from serving.gateway.state_parts import snapshot_of
from tests.support.documents import DocumentsOfLog

NOTHING_KNOWN = RoutingSnapshot()


def envelope(stream: str, version: int, event: msgspec.Struct, *, workspace: str = "default") -> Envelope:
    return Envelope(
        type=TYPE_NAMES[type(event)],
        id=EventId(f"event-{stream}-{version}"),
        time="2026-01-02T03:04:05.678Z",
        workspace=workspace,
        stream=StreamId(stream),
        streamversion=version,
        actor="principal-1",
        correlationid="c",
        causationid="c",
        commandid="c",
        data=encode_data(event),
    )


def created(name: str = "digits", *, salt: str = "salt") -> EndpointCreated:
    return EndpointCreated(name=name, description="", salt=salt)


def added(deployment_id: str, *, number: int = 1, speaks_grpc: bool = True) -> DeploymentAdded:
    return DeploymentAdded(
        deployment_id=deployment_id,
        version=VersionReference(version_id=f"version-{number}", model_name="digits", number=number),
        artifact=Artifact(digest="sha256:" + "0" * 64, size_bytes=1, format="skops" if speaks_grpc else "external"),
        signature=Signature(inputs=(), outputs=()),
        golden=None,
        replicas=1,
    )


def shifted(**ranges: list[tuple[int, int]]) -> TrafficShifted:
    """Split the buckets by deployment id, underscores standing for dashes."""
    allocations = tuple(
        Allocation(
            deployment_id=key.replace("_", "-"),
            weight_percent=sum(end - start for start, end in parts) / 100,
            ranges=tuple(BucketRange(start, end) for start, end in parts),
        )
        for key, parts in ranges.items()
    )
    return TrafficShifted(allocations=allocations, reason="test", rollout_id=None, step=None)


def announced(
    endpoint_id: str, deployment_id: str, *, port: int = 1, host: str = "127.0.0.1", region: str = "local"
) -> InstanceAnnounced:
    return InstanceAnnounced(
        endpoint_id=endpoint_id,
        deployment_id=deployment_id,
        agent_id="agent",
        boot_id="boot",
        host=host,
        port=port,
        region=region,
        zone="a",
    )


def instance(instance_id: str, *, deployment_id: str, region: str, zone: str = "a", port: int = 1) -> Instance:
    """Make the document of an instance that takes traffic."""
    return Instance(
        id=instance_id,
        workspace="default",
        endpoint_id="endpoint-1",
        deployment_id=deployment_id,
        agent_id="agent",
        phase="announced",
        boot_id="boot",
        host="127.0.0.1",
        port=port,
        region=region,
        zone=zone,
        created_at="",
        stream_version=1,
    )


def withdrawn(endpoint_id: str, deployment_id: str) -> InstanceWithdrawn:
    return InstanceWithdrawn(endpoint_id=endpoint_id, deployment_id=deployment_id, reason="test")


def route(endpoint_id: str = "endpoint-1", *, name: str = "digits", **changes: object) -> EndpointRoute:
    """Make a route; `failover` is the policy of its document."""
    document = Endpoint(
        id=endpoint_id,
        workspace="default",
        name=name,
        description="",
        salt="",
        epoch=None,
        allocations=(),
        deployments=(),
        applied=(),
        active_rollout_id=None,
        created_at="",
        stream_version=1,
        failover=changes.pop("failover", FailoverPolicy()),  # type: ignore[arg-type]
    )
    return msgspec.structs.replace(EndpointRoute(document=document), **changes)


def snapshot(table: RoutingTable) -> RoutingSnapshot:
    """Return what a table would start from if all of it were kept."""
    everything = table.everything()
    return snapshot_of(everything.position, everything.parts)


class Log:
    """Hands out positions and stream versions, as the store does, and the documents that events leave."""

    def __init__(self) -> None:
        self.position = 0
        self._versions: dict[str, int] = {}
        self._documents = DocumentsOfLog()

    def append(self, stream: str, event: msgspec.Struct, *, workspace: str = "default") -> Documents:
        """Return what a follower reads after an event."""
        self.position += 1
        self._versions[stream] = self._versions.get(stream, 0) + 1
        appended = envelope(stream, self._versions[stream], event, workspace=workspace)
        return Documents(records=tuple(self._documents.after(appended, position=self.position)), is_all=False)

    def version_of(self, stream: str) -> int:
        return self._versions[stream]

    def all(self) -> Documents:
        """Return what a follower reads that starts now."""
        return Documents(records=self._documents.current(), is_all=True)
