"""Commands on maintenance, as their bodies arrive."""

from typing import Annotated

import msgspec

EndpointName = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Reason = Annotated[str, msgspec.Meta(min_length=1, max_length=1_000)]
_DAY_S = 24 * 3_600


class AnnounceMaintenance(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Tell callers that an endpoint will be out of service, `starts_in_s` from now and for `lasts_s`."""

    endpoint: EndpointName
    reason: Reason
    lasts_s: Annotated[int, msgspec.Meta(ge=1, le=7 * _DAY_S)]
    starts_in_s: Annotated[int, msgspec.Meta(ge=0, le=90 * _DAY_S)] = 0


class BeginMaintenance(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Say that the endpoint is out of service from now on."""

    reason: Reason


class EndMaintenance(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Say that the endpoint is back in service."""

    reason: Reason
