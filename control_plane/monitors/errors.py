"""Why a command on a monitor is not carried out.

Unknown ── MonitorNotFoundError, MonitoredEndpointUnknownError
Invalid ── InvalidMonitorError
Refused ── MonitorPhaseError, DriftUnacknowledgedError, NothingToAcknowledgeError, LookDiffersError
"""

from control_plane.errors import Invalid, Refused, Unknown


class MonitorNotFoundError(Unknown):
    """No monitor has this name or id."""

    code = "monitor-not-found"

    def __init__(self, monitor: str) -> None:
        super().__init__(
            f"there is no monitor {monitor!r}", field="monitor", remedy="list them with GET /v1/monitors, or create it"
        )


class MonitoredEndpointUnknownError(Unknown):
    """A monitor was to watch an endpoint that does not exist."""

    code = "endpoint-not-found"

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no endpoint {name!r}", field="endpoint", remedy="list them with GET /v1/endpoints")


class InvalidMonitorError(Invalid):
    """With these terms nothing could be watched, or nothing promised."""

    code = "invalid-monitor"


class MonitorPhaseError(Refused):
    """The monitor is in a phase in which this makes no sense."""

    code = "monitor-phase"

    def __init__(self, name: str, phase: str, *, remedy: str) -> None:
        super().__init__(f"monitor {name} is {phase}", remedy=remedy)


class DriftUnacknowledgedError(Refused):
    """The monitor has found a drift that nobody has acknowledged."""

    code = "drift-unacknowledged"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"monitor {name} has found a drift, which a change would forget",
            remedy="acknowledge it with POST /v1/monitors/{monitor}/acknowledge first",
        )


class NothingToAcknowledgeError(Refused):
    """The monitor has found no drift."""

    code = "no-drift-to-acknowledge"

    def __init__(self, name: str) -> None:
        super().__init__(f"monitor {name} has found no drift", remedy="see GET /v1/monitors/{monitor} for its answer")


class LookDiffersError(Refused):
    """A look was made with another reference, or began elsewhere, than the monitor's evidence."""

    code = "look-differs"

    def __init__(self, detail: str, *, field: str) -> None:
        super().__init__(detail, field=field, remedy="read the monitor again, and look anew")
