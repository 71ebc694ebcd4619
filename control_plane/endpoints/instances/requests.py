"""The body that announces an instance, where it says something else than the command that it becomes."""

from typing import Annotated

import msgspec

from control_plane.endpoints.commands import Label

Port = Annotated[int, msgspec.Meta(ge=1, le=65_535)]


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
