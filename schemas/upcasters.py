"""Turns an older version of an event into the next one.

Only what is read is changed: stored bytes, event ids, hashes and proofs stay as they are. Every reader gets this, as
all of them decode through `schemas/catalogue.py`.
"""

from collections.abc import Callable, Mapping
from typing import Any, get_type_hints

import msgspec

from schemas.events import access, first_versions

Upcaster = Callable[[Any], msgspec.Struct]


def _role_granted(event: first_versions.RoleGranted) -> access.RoleGranted:
    return access.RoleGranted(role=event.role, reason=None)


UPCASTERS: Mapping[type[msgspec.Struct], Upcaster] = {first_versions.RoleGranted: _role_granted}
"""One step each; an event that is several versions old takes several."""


def newest_type(struct: type[msgspec.Struct]) -> type[msgspec.Struct]:
    """Return the type in which events of a type are read."""
    while (upcast := UPCASTERS.get(struct)) is not None:
        struct = get_type_hints(upcast)["return"]
    return struct


def newest(event: msgspec.Struct) -> msgspec.Struct:
    """Return an event in its newest version."""
    while (upcast := UPCASTERS.get(type(event))) is not None:
        event = upcast(event)
    return event
