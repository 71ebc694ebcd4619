"""The limits of short texts in what is sent to the control plane about endpoints, instances and rollouts."""

from typing import Annotated

import msgspec

Label = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Reason = Annotated[str, msgspec.Meta(min_length=1, max_length=2_000)]
