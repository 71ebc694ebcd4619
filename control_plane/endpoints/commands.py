"""What can be asked of an endpoint as a whole, and the regions that commands of its parts name."""

from typing import Annotated

import msgspec

from schemas.texts import Label

Regions = Annotated[tuple[Label, ...], msgspec.Meta(max_length=100)]


class CreateEndpoint(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    description: str
    salt: str
