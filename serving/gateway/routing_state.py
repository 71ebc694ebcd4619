"""What the gateway knows about endpoints: the values that the routing table folds and builds resources from."""

from collections.abc import Mapping
from typing import Any

import msgspec

from schemas.documents.access import Keyring
from schemas.documents.endpoints import Endpoint, Instance
from schemas.events.endpoints import (
    Allocation,
    AssignmentKey,
    FailoverPolicy,
    FailoverStarted,
    VersionReference,
)
from schemas.inference_keys import KeySetBase

Aliases = Mapping[str, Mapping[str, str]]
"""The version that an alias names, by the model's id and the alias."""


class Traffic(msgspec.Struct, frozen=True, kw_only=True):
    """How an endpoint's buckets are split, and the event that set this."""

    epoch: int
    allocations: tuple[Allocation, ...]

    def deployments(self) -> frozenset[str]:
        """Return the deployments that take traffic."""
        return frozenset(part.deployment_id for part in self.allocations if part.ranges)


class Shadow(msgspec.Struct, frozen=True, kw_only=True):
    """The deployment that gets copies of requests. It is warm once it had an instance, and nothing is copied before."""

    deployment_id: str
    percent: float
    is_warm: bool = False


class EndpointRoute(msgspec.Struct, frozen=True, kw_only=True):
    """One endpoint. `wanted` is its newest traffic, `served` the newest that could be applied.

    A removed deployment stays among `deployments` as long as it is served. `document` is the endpoint's, without its
    deployments, of which a gateway needs only what stands here.
    """

    document: Endpoint
    deployments: dict[str, VersionReference] = {}
    removed: frozenset[str] = frozenset()
    served: Traffic | None = None
    reported_epoch: int = 0
    placements: dict[str, tuple[str, ...]] = {}
    """The regions of deployments that are placed in some; others are wherever an agent is."""
    without_grpc: frozenset[str] = frozenset()
    """Deployments whose engines answer REST alone."""
    has_warm_shadow: bool = False
    aliases: dict[str, tuple[str, ...]] = {}
    """Of the versions that are deployed, by the version's id."""

    @property
    def id(self) -> str:
        return self.document.id

    @property
    def workspace(self) -> str:
        return self.document.workspace

    @property
    def name(self) -> str:
        return self.document.name

    @property
    def salt(self) -> str:
        return self.document.salt

    @property
    def assigned_by(self) -> AssignmentKey:
        return self.document.assigned_by

    @property
    def failover(self) -> FailoverPolicy:
        return self.document.failover

    @property
    def failovers(self) -> tuple[FailoverStarted, ...]:
        """The current failovers of all regions, as the log says."""
        return self.document.failovers

    @property
    def holds(self) -> bool:
        """Whether deployments may sleep: while one has no instance, its first requests are held."""
        scaling = self.document.scaling
        return scaling is not None and scaling.min_replicas == 0

    @property
    def wanted(self) -> Traffic | None:
        document = self.document
        if document.epoch is None:
            return None
        return Traffic(epoch=document.epoch, allocations=document.allocations)

    @property
    def shadow(self) -> Shadow | None:
        shadow = self.document.shadow
        if shadow is None or shadow.deployment_id not in self.deployments:
            return None
        return Shadow(deployment_id=shadow.deployment_id, percent=shadow.percent, is_warm=self.has_warm_shadow)


class TokenRules(KeySetBase, frozen=True, kw_only=True):
    """The public keys of inference tokens, and what is refused although one of them signed it.

    Keys and revocations are those of the home workspace, whose keyring has events only after a rotation. `others` are
    the keyrings of the other workspaces. A document says of the principals in `known_subjects` that they can no longer
    act; the others in `revoked_subjects` are known from the control plane's answer.
    """

    keys: tuple[dict[str, Any], ...] = ()
    others: dict[str, Keyring] = msgspec.field(default_factory=dict)
    known_subjects: tuple[str, ...] = ()


class RoutingSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The whole state at a position of the log."""

    position: int = 0
    endpoints: tuple[EndpointRoute, ...] = ()
    instances: tuple[Instance, ...] = ()
    tokens: TokenRules = TokenRules()
    aliases: dict[str, dict[str, str]] = {}


class KeptState(msgspec.Struct, frozen=True, kw_only=True):
    """The routing state as it is on disk, and when the last of it was read (Unix milliseconds)."""

    read_at_ms: int = 0
    snapshot: RoutingSnapshot = RoutingSnapshot()


InstancesByDeployment = Mapping[str, Mapping[str, Instance]]
