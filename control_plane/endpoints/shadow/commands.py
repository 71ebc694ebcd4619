"""What can be asked about copies of requests."""

import msgspec

from schemas.texts import Reason


class SetShadow(msgspec.Struct, frozen=True, kw_only=True):
    """Copy a share of the requests to a deployment that answers no one; it replaces the shadow before."""

    deployment_id: str
    percent: float
    reason: str


class RemoveShadow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    reason: Reason
