"""The first versions of events that have a later one: no longer written, and read for as long as there are logs."""

import msgspec

from schemas.events.access import Role


class RoleGranted(msgspec.Struct, frozen=True, kw_only=True):
    """The principal's role is now this one."""

    role: Role


EVENTS: dict[str, type[msgspec.Struct]] = {
    "access.RoleGranted.v1": RoleGranted,
}
