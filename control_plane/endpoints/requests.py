"""The body that creates an endpoint, which says more than the command that it becomes."""

from typing import Annotated

import msgspec

from control_plane.endpoints.commands import Regions


class CreateEndpointRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """With a version, the endpoint serves it from the start."""

    name: str
    description: Annotated[str, msgspec.Meta(max_length=2_000)] = ""
    version: str | None = None
    replicas: int = 1
    regions: Regions = ()
