"""Why a command on maintenance is not carried out.

Unknown ── MaintenanceNotFoundError, MaintenanceEndpointUnknownError
Refused ── MaintenanceNotBegunError, MaintenanceOverError
"""

from control_plane.errors import Refused, Unknown


class MaintenanceNotFoundError(Unknown):
    """No maintenance has this id."""

    code = "maintenance-not-found"

    def __init__(self, maintenance_id: str) -> None:
        super().__init__(
            f"there is no maintenance {maintenance_id}",
            field="maintenance_id",
            remedy="list them with GET /v1/maintenance, or announce it",
        )


class MaintenanceEndpointUnknownError(Unknown):
    """Maintenance was announced for an endpoint that does not exist."""

    code = "endpoint-not-found"

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no endpoint {name!r}", field="endpoint", remedy="list them with GET /v1/endpoints")


class MaintenanceNotBegunError(Refused):
    """Only maintenance that has begun can end."""

    code = "maintenance-not-begun"

    def __init__(self, maintenance_id: str) -> None:
        super().__init__(
            f"maintenance {maintenance_id} has not begun",
            remedy="begin it with POST /v1/maintenance/{maintenance_id}/begin",
        )


class MaintenanceOverError(Refused):
    """Maintenance that has ended does not begin again."""

    code = "maintenance-over"

    def __init__(self, maintenance_id: str) -> None:
        super().__init__(f"maintenance {maintenance_id} has ended", remedy="announce another with POST /v1/maintenance")
