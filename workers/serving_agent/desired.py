"""Folds the serving snapshot and the events after it into the deployments that should run. Pure: no clock, no I/O."""

import msgspec

from infra.newer_release import OnNewer
from schemas.catalogue import NotUnderstood, read_data
from schemas.envelope import Envelope
from schemas.events.endpoints import (
    CapturePolicyChanged,
    DeploymentAdded,
    DeploymentPlaced,
    DeploymentRemoved,
    EndpointCreated,
    InstanceAnnounced,
    InstanceFailed,
    InstanceWithdrawn,
    ReplicasChanged,
    VersionReference,
)
from schemas.events.registry import Artifact, GoldenExample, Signature
from serving.capture.policy_file import PolicyInForce
from workers.serving_agent.control_plane import ServingSnapshot


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """A version that should be available on an endpoint."""

    id: str
    workspace: str
    endpoint_id: str
    endpoint: str
    version: VersionReference
    artifact: Artifact
    signature: Signature
    golden: GoldenExample | None
    replicas: int
    regions: tuple[str, ...] = ()


class DesiredState:
    """The fold, for one agent; `announced` are its own instances according to the control plane.

    A deployment without a placement is wanted wherever there is an agent; each agent runs all its replicas.

    `captures` holds the capture policy of each endpoint. If something cannot be read, `is_complete` is false.
    """

    def __init__(
        self, snapshot: ServingSnapshot, *, agent_id: str, region: str, on_newer: OnNewer | None = None
    ) -> None:
        self._agent_id = agent_id
        self._region = region
        self._on_newer = on_newer
        self._position = snapshot.position
        self.is_complete = snapshot.is_complete
        self._names = {endpoint.id: endpoint.name for endpoint in snapshot.endpoints}
        self.deployments = {
            deployment.id: Deployment(
                workspace=endpoint.workspace,
                endpoint_id=endpoint.id,
                endpoint=endpoint.name,
                **msgspec.structs.asdict(deployment),
            )
            for endpoint in snapshot.endpoints
            for deployment in endpoint.deployments
        }
        self.captures = {
            endpoint.id: PolicyInForce(version=endpoint.capture_version, policy=endpoint.capture)
            for endpoint in snapshot.endpoints
        }
        self._placements = {deployment.id: deployment.regions for deployment in self.deployments.values()}
        self.announced = {instance.id for instance in snapshot.instances if instance.agent_id == agent_id}

    def wanted_replicas(self) -> dict[str, int]:
        """Return how many instances of each deployment should run in this agent's region."""
        return {
            deployment.id: deployment.replicas
            for deployment in self.deployments.values()
            if self._region in (self._placements.get(deployment.id) or (self._region,))
        }

    def apply(self, envelope: Envelope, *, position: int) -> None:
        """Fold one event; an event at or before the snapshot, or of a newer release, changes nothing."""
        if position <= self._position:
            return
        self._position = position
        event = read_data(envelope.type, envelope.data)
        if isinstance(event, NotUnderstood) and self._on_newer:
            self._on_newer(event)
        self._fold(event, envelope)

    def _fold(self, event: msgspec.Struct, envelope: Envelope) -> None:
        match event:
            case EndpointCreated(name=name):
                self._names[str(envelope.stream)] = name
                self.captures[str(envelope.stream)] = PolicyInForce()
            case CapturePolicyChanged(policy=policy):
                self.captures[str(envelope.stream)] = PolicyInForce(version=envelope.streamversion, policy=policy)
            case DeploymentAdded() as added if envelope.stream in self._names:
                self._add(added, envelope)
            case DeploymentPlaced(deployment_id=deployment_id, regions=regions):
                # It precedes the deployment itself if that starts with a placement.
                self._placements[deployment_id] = regions
            case DeploymentRemoved(deployment_id=deployment_id):
                self.deployments.pop(deployment_id, None)
                self._placements.pop(deployment_id, None)
            case ReplicasChanged(deployment_id=deployment_id, to_replicas=replicas):
                self._scale(deployment_id, replicas)
            case InstanceAnnounced(agent_id=agent_id) if agent_id == self._agent_id:
                self.announced.add(str(envelope.stream))
            case InstanceWithdrawn() | InstanceFailed():
                self.announced.discard(str(envelope.stream))
            case _:
                pass

    def _scale(self, deployment_id: str, replicas: int) -> None:
        if deployment_id in self.deployments:
            known = self.deployments[deployment_id]
            self.deployments[deployment_id] = msgspec.structs.replace(known, replicas=replicas)

    def _add(self, added: DeploymentAdded, envelope: Envelope) -> None:
        endpoint_id = str(envelope.stream)
        self.deployments[added.deployment_id] = Deployment(
            id=added.deployment_id,
            workspace=envelope.workspace,
            endpoint_id=endpoint_id,
            endpoint=self._names[endpoint_id],
            version=added.version,
            artifact=added.artifact,
            signature=added.signature,
            golden=added.golden,
            replicas=added.replicas,
        )
