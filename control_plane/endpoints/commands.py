"""What can be asked of an endpoint as a whole, and the regions that commands of its parts name."""

from typing import Annotated

import msgspec

from schemas.texts import Label

Regions = Annotated[tuple[Label, ...], msgspec.Meta(max_length=100)]


class RemoveEndpoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Stop serving an endpoint for good. Callers get 404 from then on, its instances end, and its name is free."""

    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=2_000)]


class CreateEndpoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """With a version, the endpoint serves it from the start."""

    name: str
    description: Annotated[str, msgspec.Meta(max_length=2_000)] = ""
    version: str | None = None
    replicas: int = 1
    regions: Regions = ()
