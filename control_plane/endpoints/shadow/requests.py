"""The body that sets a shadow, where it says something else than the command that it becomes."""

import msgspec

from schemas.texts import Reason


class SetShadowRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Name a deployment that is ready, or a version, which gets a deployment of its own unless it has an idle one."""

    deployment_id: str | None = None
    version: str | None = None
    replicas: int = 1
    percent: float = 100.0
    reason: Reason
