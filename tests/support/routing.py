"""Builds the events and states of endpoints that the gateway's tests are about."""

import msgspec

from schemas.catalogue import TYPE_NAMES
from schemas.envelope import Envelope, encode_data
from schemas.events.endpoints import (
    Allocation,
    BucketRange,
    DeploymentAdded,
    EndpointCreated,
    InstanceAnnounced,
    InstanceWithdrawn,
    TrafficShifted,
    VersionReference,
)
from schemas.events.registry import Artifact, Signature
from schemas.identifiers import EventId, StreamId
from serving.gateway.routing_state import RoutingSnapshot, TokenRules

NOTHING_KNOWN = RoutingSnapshot(position=0, endpoints=(), instances=(), tokens=TokenRules())


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


def withdrawn(endpoint_id: str, deployment_id: str) -> InstanceWithdrawn:
    return InstanceWithdrawn(endpoint_id=endpoint_id, deployment_id=deployment_id, reason="test")


class Log:
    """Hands out positions and stream versions, as the store does."""

    def __init__(self) -> None:
        self.position = 0
        self._versions: dict[str, int] = {}

    def append(self, stream: str, event: msgspec.Struct, *, workspace: str = "default") -> Envelope:
        self.position += 1
        self._versions[stream] = self._versions.get(stream, 0) + 1
        return envelope(stream, self._versions[stream], event, workspace=workspace)
