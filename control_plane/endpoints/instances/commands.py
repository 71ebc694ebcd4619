"""What agents say of their instances."""

import msgspec

from control_plane.endpoints.commands import Label, Reason


class AnnounceInstance(msgspec.Struct, frozen=True, kw_only=True):
    endpoint_id: str
    deployment_id: str
    agent_id: str
    boot_id: str
    host: str
    port: int
    region: str
    zone: str


class WithdrawInstance(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """With a code, the instance is withdrawn because probes found it unhealthy, and how."""

    reason: Reason
    code: Label | None = None


class FailInstance(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    endpoint_id: str
    deployment_id: str
    agent_id: Label
    code: Label
    reason: Reason
