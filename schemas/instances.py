"""What agents tell the control plane about instances: the bodies that they send, which are the commands."""

from typing import Annotated

import msgspec

from schemas.texts import Label, Reason

Port = Annotated[int, msgspec.Meta(ge=1, le=65_535)]


class InstanceOwner(msgspec.Struct, frozen=True, kw_only=True):
    """Whose an instance is: the deployment that it serves, and the agent that runs it."""

    endpoint_id: str
    deployment_id: str
    agent_id: Label


class AnnounceInstance(InstanceOwner, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Without an `instance_id` the instance gets one."""

    instance_id: str | None = None
    boot_id: Label
    host: Label
    port: Port
    region: Label
    zone: Label


class WithdrawInstance(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """With a code, the instance is withdrawn because probes found it unhealthy, and how."""

    reason: Reason
    code: Label | None = None


class FailInstance(InstanceOwner, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The agent has given up on an instance, which may never have been announced."""

    code: Label
    reason: Reason
