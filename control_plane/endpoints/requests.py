"""The bodies that callers send, where they say something else than the command that they become."""

from typing import Annotated

import msgspec

from control_plane.endpoints.commands import Label, Reason
from schemas.events.endpoints import FailoverPolicy
from schemas.scaling import LoadMeasurement

Regions = Annotated[tuple[Label, ...], msgspec.Meta(max_length=100)]
Port = Annotated[int, msgspec.Meta(ge=1, le=65_535)]


class CreateEndpointRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """With a version, the endpoint serves it from the start."""

    name: str
    description: Annotated[str, msgspec.Meta(max_length=2_000)] = ""
    version: str | None = None
    replicas: int = 1
    regions: Regions = ()


class AddDeploymentRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Each of the regions gets the replicas; without any, each that has an agent."""

    version: str
    replicas: int = 1
    regions: Regions = ()


class PlaceDeploymentRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    regions: Regions
    reason: Reason


class RemoveDeploymentRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    reason: Reason


class Weight(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The share of an endpoint's traffic that a deployment gets; the weights of all sum to 100."""

    deployment_id: str
    weight_percent: float


class SetTrafficRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    weights: Annotated[tuple[Weight, ...], msgspec.Meta(max_length=1_000)]
    reason: Reason = "set by hand"


class ReportLoadRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    measurement: LoadMeasurement


class WakeDeploymentRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    reason: Reason


class FailoverPolicyBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole policy, with defaults. `backup` is a deployment's id, or its version as model/number."""

    backup: Label | None = None
    backup_regions: Regions | None = None
    max_retries: int | None = None
    per_try_timeout_ms: int | None = None
    retry_budget_percent: Annotated[float, msgspec.Meta(ge=0, le=100)] = FailoverPolicy().retry_budget_percent
    retries_at_once: int = FailoverPolicy().retries_at_once
    max_connections: int = FailoverPolicy().max_connections
    max_pending: int = FailoverPolicy().max_pending
    max_requests: int = FailoverPolicy().max_requests


class SetFailoverPolicyRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    policy: FailoverPolicyBody
    reason: Reason


class SetShadowRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Name a deployment that is ready, or a version, which gets a deployment of its own unless it has an idle one."""

    deployment_id: str | None = None
    version: str | None = None
    replicas: int = 1
    percent: float = 100.0
    reason: Reason


class AnnounceInstanceRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Without an `instance_id` the instance gets one."""

    instance_id: str | None = None
    endpoint_id: str
    deployment_id: str
    agent_id: Label
    boot_id: Label
    host: Label
    port: Port
    region: Label
    zone: Label
