"""The body that sets an endpoint's traffic, where it says something else than the command that it becomes."""

from typing import Annotated

import msgspec

from schemas.texts import Reason


class Weight(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The share of an endpoint's traffic that a deployment gets; the weights of all sum to 100."""

    deployment_id: str
    weight_percent: float


class SetTrafficRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    weights: Annotated[tuple[Weight, ...], msgspec.Meta(max_length=1_000)]
    reason: Reason = "set by hand"
