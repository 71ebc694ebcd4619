"""What the gateway knows about endpoints: the values that the routing table folds and builds resources from."""

from collections.abc import Mapping
from typing import Any

import msgspec

from schemas.events.endpoints import (
    DEFAULT_KEY,
    Allocation,
    AssignmentKey,
    FailoverPolicy,
    FailoverStarted,
    VersionReference,
)

Aliases = Mapping[str, Mapping[str, str]]
"""The version that an alias names, by the model's id and the alias."""


class Instance(msgspec.Struct, frozen=True, kw_only=True):
    """One engine that may take traffic."""

    id: str
    endpoint_id: str
    deployment_id: str
    host: str
    port: int
    region: str
    zone: str


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

    A removed deployment stays among `deployments` as long as it is served.
    """

    id: str
    workspace: str
    name: str
    salt: str
    deployments: dict[str, VersionReference] = {}
    removed: frozenset[str] = frozenset()
    wanted: Traffic | None = None
    served: Traffic | None = None
    reported_epoch: int = 0
    holds: bool = False
    """Whether deployments may sleep: while one has no instance, its first requests are held."""
    failover: FailoverPolicy = FailoverPolicy()
    placements: dict[str, tuple[str, ...]] = {}
    """The regions of deployments that are placed; others run wherever there is an agent."""
    failovers: tuple[FailoverStarted, ...] = ()
    """The current failovers of all regions, according to the log."""
    without_grpc: frozenset[str] = frozenset()
    """Deployments whose engines only support REST."""
    shadow: Shadow | None = None
    assigned_by: AssignmentKey = DEFAULT_KEY
    aliases: dict[str, tuple[str, ...]] = {}
    """The aliases of deployed versions, by the version's id."""


class RevokedPrincipal(msgspec.Struct, frozen=True, kw_only=True):
    """A principal whose tokens issued before a time (Unix seconds, like `iat`) are rejected."""

    principal_id: str
    issued_before_s: int


class TokenRules(msgspec.Struct, frozen=True, kw_only=True):
    """The public keys of inference tokens, and what is rejected although one of them signed it.

    `version` is the keyring's stream version, 0 before its first event. `revoked_subjects` can no longer act at all;
    those that were erased according to the log stay so.
    """

    version: int = 0
    keys: tuple[dict[str, Any], ...] = ()
    revoked_subjects: tuple[str, ...] = ()
    erased_subjects: tuple[str, ...] = ()
    revoked_tokens: tuple[str, ...] = ()
    revoked_principals: tuple[RevokedPrincipal, ...] = ()


class RoutingSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The whole state at a position of the log, as stored on disk."""

    position: int
    endpoints: tuple[EndpointRoute, ...]
    instances: tuple[Instance, ...]
    tokens: TokenRules
    aliases: dict[str, dict[str, str]] = {}
    has_passed_over: bool = False
    """Whether events of a newer release are missing from it."""


InstancesByDeployment = Mapping[str, Mapping[str, Instance]]
