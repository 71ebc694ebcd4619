"""What should run here, from the documents that the agent follows. Pure: no clock, no I/O."""

from collections.abc import Iterator

import msgspec

from infra.kafka.serving_state import Documents
from infra.newer_release import document_understood, part_understood
from schemas.documents.endpoints import StoredDeployment
from schemas.documents.records import Removed, StateRecord
from schemas.events.endpoints import CapturePolicy
from serving.capture.policy_file import PolicyInForce


class Deployment(StoredDeployment, frozen=True, kw_only=True):
    """A version that should be available on an endpoint."""

    workspace: str
    endpoint_id: str
    endpoint: str


class _Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """What the agent reads of an endpoint. Each deployment is read alone: one that is unknown here hides no other."""

    name: str
    deployments: tuple[msgspec.Raw, ...]
    capture: CapturePolicy = CapturePolicy()
    capture_version: int = 0


class _Instance(msgspec.Struct, frozen=True, kw_only=True):
    agent_id: str
    phase: str


class DesiredState:
    """The deployments and capture policies of all endpoints, and which instances the control plane takes for ours.

    A deployment without a placement is wanted wherever there is an agent; each agent runs all its replicas.
    """

    def __init__(self, *, agent_id: str, region: str) -> None:
        self._agent_id = agent_id
        self._region = region
        self.deployments: dict[str, Deployment] = {}
        self.captures: dict[str, PolicyInForce] = {}
        self.announced: set[str] = set()
        self.endpoints: dict[str, StateRecord] = {}
        """The documents that last changed what stands here of each endpoint, from which another agent can begin."""
        self._has_all = False
        self._unread: set[str] = set()
        self._of_endpoint: dict[str, tuple[str, ...]] = {}

    @property
    def is_complete(self) -> bool:
        """Whether all documents were read, and each of them understood."""
        return self._has_all and not self._unread

    @property
    def is_known(self) -> bool:
        """Whether anything was read at all."""
        return self._has_all or bool(self.endpoints)

    def wanted_replicas(self) -> dict[str, int]:
        """Return how many instances of each deployment should run in this agent's region."""
        return {
            each.id: each.replicas
            for each in self.deployments.values()
            if self._region in (each.regions or (self._region,))
        }

    def take(self, read: Documents) -> None:
        """Take documents. An endpoint that is not among all of them stays: the topic may be being filled again."""
        if read.is_all:
            self._has_all = True
            self.announced.clear()
        for record in read.records:
            self._take(record)

    def _take(self, record: StateRecord | Removed) -> None:
        if isinstance(record, Removed):
            self.announced.discard(record.id)
            self._forget(record.id)
        elif record.kind == "endpoint":
            self._take_endpoint(record)
        elif record.kind == "instance":
            self._take_instance(record)

    def _take_endpoint(self, record: StateRecord) -> None:
        endpoint = document_understood(record, _Endpoint)
        if endpoint is None:
            self._unread.add(record.id)
            return
        capture = PolicyInForce(version=endpoint.capture_version, policy=endpoint.capture)
        found = {each.id: each for each in self._deployments_in(record, endpoint)}
        kept = {key: self.deployments.get(key) for key in self._of_endpoint.get(record.id, ())}
        if kept != found or self.captures.get(record.id) != capture:
            self._forget(record.id)
            self.endpoints[record.id] = record
            self.captures[record.id] = capture
            self.deployments |= found
            self._of_endpoint[record.id] = tuple(found)
        if len(found) == len(endpoint.deployments):
            self._unread.discard(record.id)
        else:
            self._unread.add(record.id)

    def _deployments_in(self, record: StateRecord, endpoint: _Endpoint) -> Iterator[Deployment]:
        for part in endpoint.deployments:
            stored = part_understood(part, StoredDeployment, of=record)
            if stored is not None:
                yield Deployment(
                    **msgspec.structs.asdict(stored),
                    workspace=record.workspace,
                    endpoint_id=record.id,
                    endpoint=endpoint.name,
                )

    def _take_instance(self, record: StateRecord) -> None:
        instance = document_understood(record, _Instance)
        if instance is None:
            return
        if instance.agent_id == self._agent_id and instance.phase == "announced":
            self.announced.add(record.id)
        else:
            self.announced.discard(record.id)

    def _forget(self, endpoint_id: str) -> None:
        self._unread.discard(endpoint_id)
        self.endpoints.pop(endpoint_id, None)
        self.captures.pop(endpoint_id, None)
        for deployment_id in self._of_endpoint.pop(endpoint_id, ()):
            self.deployments.pop(deployment_id, None)
