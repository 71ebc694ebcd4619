"""What can be asked about failover: people choose, gateways report."""

import msgspec

from schemas.events.endpoints import FailoverPolicy
from schemas.texts import Label, Reason


class SetFailoverPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Fail over like this from now on; it replaces the whole policy. The backup may be named by its version."""

    policy: FailoverPolicy
    reason: str


class ReportFailoverStart(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A region's gateway reports that a failover has started."""

    region: Label
    deployment_id: Label
    from_region: Label
    to_deployment_id: Label
    to_region: Label
    code: Label
    reason: Reason
    observed_at: str


class ReportFailoverEnd(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A region's gateway reports that a failover has ended."""

    region: Label
    deployment_id: Label
    reason: Reason
    observed_at: str
