"""The documents of endpoints and of their instances."""

import msgspec

from schemas.events.endpoints import (
    DEFAULT_KEY,
    Allocation,
    AssignmentKey,
    CapturePolicy,
    FailoverPolicy,
    FailoverStarted,
    ShadowSet,
    TrafficApplied,
    VersionReference,
)
from schemas.events.registry import Artifact
from schemas.instances import InstanceOwner
from schemas.scaling import ScalingPolicy


class Instance(InstanceOwner, frozen=True, kw_only=True, omit_defaults=True):
    """One engine process on one host; the address is empty where it never took traffic."""

    id: str
    workspace: str
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


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """A version that is available on an endpoint.

    `signature_id` and `golden_id` name the documents of its signature and of its golden example, where it has one. In
    documents of earlier releases there is no `signature_id`, and both stand in the deployment itself.
    """

    id: str
    version: VersionReference
    artifact: Artifact
    signature_id: str | None = None
    golden_id: str | None = None
    replicas: int
    scaling_version: int = 0
    regions: tuple[str, ...] = ()

    @property
    def min_instances(self) -> int:
        """How many instances there are to be at least: so many in each region that is named."""
        return self.replicas * max(1, len(self.regions))


class EndpointCore(msgspec.Struct, frozen=True, kw_only=True):
    """What an endpoint was created as, and the choices that are shown as their events made them."""

    id: str
    name: str
    description: str
    created_at: str
    stream_version: int
    shadow: ShadowSet | None = None
    assigned_by: AssignmentKey = DEFAULT_KEY


class ServingGateway(msgspec.Struct, frozen=True, kw_only=True):
    """A gateway that has served the endpoint: the newest epoch that it serves, and the first one.

    `behind_since` is when it should have begun to serve a newer one, None while it serves the current one.
    """

    gateway_id: str
    epoch: int
    first_epoch: int
    behind_since: str | None = None


class ServingRegion(msgspec.Struct, frozen=True, kw_only=True):
    """A region whose gateways have served the endpoint: the newest epoch that one of them serves, and the first one.

    `behind_since` is when they should have begun to serve a newer one, None while one serves the current one.
    `gateways` says so of each; documents of earlier releases have none.
    """

    region: str
    epoch: int
    first_epoch: int
    behind_since: str | None = None
    gateways: tuple[ServingGateway, ...] = ()


class EndpointBase(EndpointCore, frozen=True, kw_only=True):
    """What the document of an endpoint and the API's answer have in common."""

    epoch: int | None
    allocations: tuple[Allocation, ...]
    applied: tuple[TrafficApplied, ...]
    active_rollout_id: str | None
    capture: CapturePolicy = CapturePolicy()
    capture_version: int = 0
    scaling: ScalingPolicy | None = None
    failover: FailoverPolicy = FailoverPolicy()
    failovers: tuple[FailoverStarted, ...] = ()
    regions: tuple[ServingRegion, ...] = ()


class Endpoint(EndpointBase, frozen=True, kw_only=True):
    """A name that callers use: its deployments, and how its traffic is split.

    `epoch` is the version of the endpoint's stream at which the traffic was split as `allocations` say.
    """

    workspace: str
    salt: str
    deployments: tuple[Deployment, ...]
