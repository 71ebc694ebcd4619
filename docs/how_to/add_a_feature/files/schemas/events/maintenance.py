"""Facts about maintenance: an endpoint is out of service on purpose, from when to when, and why."""

import msgspec


class MaintenanceAnnounced(msgspec.Struct, frozen=True, kw_only=True):
    """Callers of the endpoint are told that it will be out of service."""

    endpoint_id: str
    endpoint_name: str
    starts_at: str
    ends_at: str
    reason: str


class MaintenanceBegun(msgspec.Struct, frozen=True, kw_only=True):
    """The endpoint is out of service from now on."""

    endpoint_id: str
    reason: str


class MaintenanceEnded(msgspec.Struct, frozen=True, kw_only=True):
    """The endpoint is back in service."""

    endpoint_id: str
    reason: str


EVENTS: dict[str, type[msgspec.Struct]] = {
    "maintenance.MaintenanceAnnounced.v1": MaintenanceAnnounced,
    "maintenance.MaintenanceBegun.v1": MaintenanceBegun,
    "maintenance.MaintenanceEnded.v1": MaintenanceEnded,
}
