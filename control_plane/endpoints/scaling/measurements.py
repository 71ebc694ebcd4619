"""The last measurement of each deployment, in memory: for people, never for decisions; refreshed within seconds."""

from collections import OrderedDict

import msgspec

from schemas.scaling import LoadMeasurement

_MAX_KEPT = 20_000


class KeptMeasurement(msgspec.Struct, frozen=True, kw_only=True):
    """A measurement, and when it came."""

    received_at_ms: int
    measurement: LoadMeasurement


class LastMeasurements:
    """Bounded; the least recently reported one is forgotten first."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, KeptMeasurement] = OrderedDict()

    def keep(self, deployment_id: str, measurement: LoadMeasurement, *, now_ms: int) -> None:
        """Remember the last one."""
        self._kept[deployment_id] = KeptMeasurement(received_at_ms=now_ms, measurement=measurement)
        self._kept.move_to_end(deployment_id)
        if len(self._kept) > _MAX_KEPT:
            self._kept.popitem(last=False)

    def of(self, deployment_id: str) -> KeptMeasurement | None:
        """Return the last report."""
        return self._kept.get(deployment_id)
