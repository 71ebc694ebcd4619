"""The body of a failover policy, where it says something else than the policy that it becomes."""

from typing import Annotated

import msgspec

from control_plane.endpoints.commands import Regions
from schemas.events.endpoints import FailoverPolicy
from schemas.texts import Label, Reason


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
