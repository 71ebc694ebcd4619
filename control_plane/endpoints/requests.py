"""The bodies that callers send; all are closed, so a misspelt field is refused."""

import msgspec


class CreateEndpointRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """With a version, the endpoint serves it from the start."""

    name: str
    description: str = ""
    version: str | None = None
    replicas: int = 1


class AddDeploymentRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    version: str
    replicas: int = 1


class RemoveDeploymentRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    reason: str


class Weight(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    deployment_id: str
    weight_percent: float


class SetTrafficRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    weights: tuple[Weight, ...]
    reason: str = "set by hand"


class ConfirmTrafficRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    epoch: int
    region: str
    gateway_id: str
    applied_at: str


class AnnounceInstanceRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Without an `instance_id` the instance gets one."""

    instance_id: str | None = None
    endpoint_id: str
    deployment_id: str
    agent_id: str
    boot_id: str
    host: str
    port: int
    region: str
    zone: str


class WithdrawInstanceRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    reason: str


class FailInstanceRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    endpoint_id: str
    deployment_id: str
    agent_id: str
    code: str
    reason: str
