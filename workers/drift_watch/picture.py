"""What the drift watch knows of monitors and their endpoints, from the documents that it follows. No I/O."""

import msgspec

from infra.kafka.serving_state import Documents
from infra.newer_release import document_understood
from schemas.documents.monitors import Monitor
from schemas.documents.records import Removed, StateRecord
from schemas.events.endpoints import CapturePolicy, ShadowSet

_DAY_MS = 24 * 3_600_000


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """What the drift watch reads from an endpoint's document."""

    shadow: ShadowSet | None = None
    capture: CapturePolicy = CapturePolicy()


class Picture:
    """The monitors, and the endpoints that they watch."""

    def __init__(self) -> None:
        self.monitors: dict[str, Monitor] = {}
        self._endpoints: dict[str, Endpoint] = {}
        self.position = 0

    def take(self, documents: Documents) -> None:
        """Take documents, and skip those that only a newer release can read."""
        if documents.is_all:
            there = {record.id for record in documents.records}
            for gone in (self.monitors.keys() | self._endpoints.keys()) - there:
                self._remove(gone)
        for record in documents.records:
            self._take(record)
        self.position = max(self.position, documents.position)

    def shadows(self, monitor: Monitor) -> tuple[str, ...] | None:
        """Return the deployments whose captured requests are copies; None where the endpoint is not known."""
        endpoint = self._endpoints.get(monitor.endpoint_id)
        if endpoint is None:
            return None
        return () if endpoint.shadow is None else (endpoint.shadow.deployment_id,)

    def texts_kept_ms(self, monitor: Monitor) -> int:
        """Return for how long the view keeps which texts were captured."""
        endpoint = self._endpoints.get(monitor.endpoint_id)
        return (CapturePolicy() if endpoint is None else endpoint.capture).retention_days * _DAY_MS

    def _take(self, record: StateRecord | Removed) -> None:
        if isinstance(record, Removed):
            self._remove(record.id)
        elif record.kind == "monitor":
            if (monitor := document_understood(record, Monitor)) is not None:
                self.monitors[record.id] = monitor
        elif record.kind == "endpoint" and (endpoint := document_understood(record, Endpoint)) is not None:
            self._endpoints[record.id] = endpoint

    def _remove(self, document_id: str) -> None:
        self.monitors.pop(document_id, None)
        self._endpoints.pop(document_id, None)
