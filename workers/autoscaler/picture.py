"""The deployments under a scaling policy, from the documents that the autoscaler follows. No I/O."""

import msgspec

from infra.kafka.serving_state import Documents
from infra.newer_release import document_understood
from schemas.documents.records import Removed, StateRecord
from schemas.scaling import ScalingPolicy


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """What the autoscaler reads of a deployment."""

    id: str
    replicas: int
    scaling_version: int = 0


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """What the autoscaler reads of an endpoint's document."""

    id: str
    workspace: str
    deployments: tuple[Deployment, ...]
    scaling: ScalingPolicy | None = None


class Instance(msgspec.Struct, frozen=True, kw_only=True):
    """What the autoscaler reads of an instance's document."""

    id: str
    deployment_id: str
    phase: str
    host: str = ""
    port: int = 0


class Watched(msgspec.Struct, frozen=True, kw_only=True):
    """A deployment under a policy, with the instances that take its traffic."""

    workspace: str
    endpoint_id: str
    deployment: Deployment
    policy: ScalingPolicy
    instances: tuple[Instance, ...]

    @property
    def asks_engines(self) -> bool:
        """Whether the policy follows something that only engines can tell."""
        return any(
            each is not None for each in (self.policy.queue_depth, self.policy.latency_ms, self.policy.tokens_waiting)
        )


class Picture:
    """The latest documents of endpoints and instances."""

    def __init__(self) -> None:
        self._endpoints: dict[str, Endpoint] = {}
        self._instances: dict[str, Instance] = {}

    def take(self, read: Documents) -> None:
        """Take documents, and skip those that only a newer release can read."""
        if read.is_all:
            there = {record.id for record in read.records}
            for gone in (self._endpoints.keys() | self._instances.keys()) - there:
                self._remove(gone)
        for record in read.records:
            self._take(record)

    def watched(self) -> dict[str, Watched]:
        """Return the deployments under a policy, by id."""
        instances: dict[str, list[Instance]] = {}
        for each in self._instances.values():
            instances.setdefault(each.deployment_id, []).append(each)
        return {
            deployment.id: Watched(
                workspace=endpoint.workspace,
                endpoint_id=endpoint.id,
                deployment=deployment,
                policy=endpoint.scaling,
                instances=tuple(instances.get(deployment.id, ())),
            )
            for endpoint in self._endpoints.values()
            if endpoint.scaling is not None
            for deployment in endpoint.deployments
        }

    def _take(self, record: StateRecord | Removed) -> None:
        if isinstance(record, Removed):
            self._remove(record.id)
        elif record.kind == "endpoint":
            if (endpoint := document_understood(record, Endpoint)) is not None:
                self._endpoints[record.id] = endpoint
        elif record.kind == "instance" and (instance := document_understood(record, Instance)) is not None:
            self._remove(record.id)
            if instance.phase == "announced":
                self._instances[record.id] = instance

    def _remove(self, document_id: str) -> None:
        self._endpoints.pop(document_id, None)
        self._instances.pop(document_id, None)
