"""What can be asked of an endpoint as a whole, and the texts that commands of its parts have in common."""

from typing import Annotated

import msgspec

Reason = Annotated[str, msgspec.Meta(min_length=1, max_length=2_000)]
Label = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Regions = Annotated[tuple[Label, ...], msgspec.Meta(max_length=100)]


class CreateEndpoint(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    description: str
    salt: str
