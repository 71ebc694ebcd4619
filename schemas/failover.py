"""What gateways tell the control plane about failovers: the bodies that they send, which are the commands."""

from typing import TypeAlias

import msgspec

from schemas.texts import Label, Reason


class Takeover(msgspec.Struct, frozen=True, kw_only=True):
    """Who answers in place of a deployment's usual instances, and why."""

    deployment_id: Label
    from_region: Label
    to_deployment_id: Label
    to_region: Label
    code: Label
    reason: Reason


class ReportFailoverStart(Takeover, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A region's gateway reports that a failover has started."""

    region: Label
    observed_at: str


class ReportFailoverEnd(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A region's gateway reports that a failover has ended."""

    region: Label
    deployment_id: Label
    reason: Reason
    observed_at: str


FailoverReport: TypeAlias = ReportFailoverStart | ReportFailoverEnd
