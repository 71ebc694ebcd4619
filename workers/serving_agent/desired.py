"""What should run here, from the documents that the agent follows. Pure: no clock, no I/O."""

from collections.abc import Iterator

import msgspec

from infra.kafka.serving_state import Documents
from infra.newer_release import document_understood, part_understood
from schemas.documents import endpoints as documents
from schemas.documents.contents import CONTENTS
from schemas.documents.records import Removed, StateRecord
from schemas.events.endpoints import CapturePolicy
from schemas.events.registry import GoldenExample, Signature
from serving.capture.policy_file import PolicyInForce


class Deployment(documents.Deployment, frozen=True, kw_only=True):
    """A version that should be available on an endpoint, with all that it takes to start it."""

    signature: Signature
    golden: GoldenExample | None = None
    workspace: str
    endpoint_id: str
    endpoint: str


class _Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """What the agent reads of an endpoint. Each deployment is read alone: one that is unknown here hides no other."""

    name: str
    deployments: tuple[msgspec.Raw, ...]
    capture: CapturePolicy = CapturePolicy()
    capture_version: int = 0


class _Inline(msgspec.Struct, frozen=True, kw_only=True):
    """What a deployment holds itself in a document of an earlier release."""

    signature: Signature
    golden: GoldenExample | None = None


class _Content(msgspec.Struct, frozen=True):
    """A signature or a golden example, and the document that it came in."""

    record: StateRecord
    value: msgspec.Struct


class _Instance(msgspec.Struct, frozen=True, kw_only=True):
    agent_id: str
    phase: str


class DesiredState:
    """The deployments and capture policies of all endpoints, and which instances the control plane takes for ours.

    `announced` has the workspaces of those by their ids.

    A deployment without a placement is wanted wherever there is an agent; each agent runs all its replicas.
    """

    def __init__(self, *, agent_id: str, region: str) -> None:
        self._agent_id = agent_id
        self._region = region
        self.deployments: dict[str, Deployment] = {}
        self.captures: dict[str, PolicyInForce] = {}
        self.announced: dict[str, str] = {}
        self._has_all = False
        self._contents: dict[str, _Content] = {}
        # The documents that last changed what stands here of each endpoint.
        self._endpoints: dict[str, StateRecord] = {}
        # Those of endpoints of which not everything can be read, or is here.
        self._unread: dict[str, StateRecord] = {}
        self._of_endpoint: dict[str, tuple[str, ...]] = {}

    @property
    def is_complete(self) -> bool:
        """Whether all documents were read, and each of them understood."""
        return self._has_all and not self._unread

    @property
    def is_known(self) -> bool:
        """Whether anything was read at all."""
        return self._has_all or bool(self._endpoints)

    @property
    def records(self) -> tuple[StateRecord, ...]:
        """The documents from which another agent can begin."""
        return (*(content.record for content in self._contents.values()), *self._endpoints.values())

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
            there = {record.id for record in read.records}
            self._contents = {key: each for key, each in self._contents.items() if key in there | self._referred}
        for record in read.records:
            self._take(record)
        for record in tuple(self._unread.values()):
            self._take_endpoint(record)

    @property
    def _referred(self) -> set[str]:
        ids = ((each.signature_id, each.golden_id) for each in self.deployments.values())
        return {each for pair in ids for each in pair if each is not None}

    def _take(self, record: StateRecord | Removed) -> None:
        if isinstance(record, Removed):
            self.announced.pop(record.id, None)
            self._contents.pop(record.id, None)
            self._forget(record.id)
        elif record.kind in CONTENTS:
            content = document_understood(record, CONTENTS[record.kind])
            if content is not None:
                self._contents[record.id] = _Content(record, content)
        elif record.kind == "endpoint":
            self._take_endpoint(record)
        elif record.kind == "instance":
            self._take_instance(record)

    def _take_endpoint(self, record: StateRecord) -> None:
        endpoint = document_understood(record, _Endpoint)
        if endpoint is None:
            self._unread[record.id] = record
            return
        capture = PolicyInForce(version=endpoint.capture_version, policy=endpoint.capture, workspace=record.workspace)
        found = {each.id: each for each in self._deployments_in(record, endpoint)}
        kept = {key: self.deployments.get(key) for key in self._of_endpoint.get(record.id, ())}
        if kept != found or self.captures.get(record.id) != capture:
            self._forget(record.id)
            self._endpoints[record.id] = record
            self.captures[record.id] = capture
            self.deployments |= found
            self._of_endpoint[record.id] = tuple(found)
        if len(found) == len(endpoint.deployments):
            self._unread.pop(record.id, None)
        else:
            self._unread[record.id] = record

    def _deployments_in(self, record: StateRecord, endpoint: _Endpoint) -> Iterator[Deployment]:
        for part in endpoint.deployments:
            document = part_understood(part, documents.Deployment, of=record)
            if document is None:
                continue
            contents = self._contents_of(document, part, of=record)
            if contents is not None:
                yield Deployment(
                    **msgspec.structs.asdict(document),
                    signature=contents.signature,
                    golden=contents.golden,
                    workspace=record.workspace,
                    endpoint_id=record.id,
                    endpoint=endpoint.name,
                )

    def _contents_of(self, document: documents.Deployment, part: msgspec.Raw, *, of: StateRecord) -> _Inline | None:
        """Return the signature and the golden example of a deployment, None while they are not here."""
        if document.signature_id is None:
            return part_understood(part, _Inline, of=of)
        signature, golden = self._content(document.signature_id), self._content(document.golden_id)
        if not isinstance(signature, Signature) or (golden is None and document.golden_id is not None):
            return None
        assert golden is None or isinstance(golden, GoldenExample)
        return _Inline(signature=signature, golden=golden)

    def _content(self, content_id: str | None) -> msgspec.Struct | None:
        found = self._contents.get(content_id) if content_id else None
        return found.value if found else None

    def _take_instance(self, record: StateRecord) -> None:
        instance = document_understood(record, _Instance)
        if instance is None:
            return
        if instance.agent_id == self._agent_id and instance.phase == "announced":
            self.announced[record.id] = record.workspace
        else:
            self.announced.pop(record.id, None)

    def _forget(self, endpoint_id: str) -> None:
        self._unread.pop(endpoint_id, None)
        self._endpoints.pop(endpoint_id, None)
        self.captures.pop(endpoint_id, None)
        for deployment_id in self._of_endpoint.pop(endpoint_id, ()):
            self.deployments.pop(deployment_id, None)
