"""The state of the traffic: its splits under their epochs, who serves the current one, and who owns it."""

import msgspec

from control_plane.endpoints.folds import Folds
from control_plane.endpoints.traffic.buckets import weights_of
from control_plane.ports import EventContext
from schemas.events.endpoints import Allocation, EndpointReleased, EndpointReserved, TrafficApplied, TrafficShifted

_EPOCHS_KEPT = 100


class Epoch(msgspec.Struct, frozen=True):
    """A split that the endpoint had, under the stream version of its event."""

    number: int
    allocations: tuple[Allocation, ...]


class Traffic(msgspec.Struct, frozen=True, kw_only=True):
    """`epochs` ends with the current one, which `applied` is about; `owner` is the rollout that may change it."""

    epochs: tuple[Epoch, ...] = ()
    applied: tuple[TrafficApplied, ...] = ()
    owner: str | None = None

    @property
    def epoch(self) -> int | None:
        return self.epochs[-1].number if self.epochs else None

    @property
    def allocations(self) -> tuple[Allocation, ...]:
        return self.epochs[-1].allocations if self.epochs else ()

    @property
    def weights(self) -> dict[str, float]:
        """The weight of each deployment that serves."""
        return weights_of(self.allocations)


def _shifted(state: Traffic, event: TrafficShifted, context: EventContext) -> Traffic:
    epochs = (*state.epochs, Epoch(context.version, event.allocations))
    return msgspec.structs.replace(state, epochs=epochs[-_EPOCHS_KEPT:], applied=())


def _applied(state: Traffic, event: TrafficApplied, _context: EventContext) -> Traffic:
    return msgspec.structs.replace(state, applied=(*state.applied, event))


def _reserved(state: Traffic, event: EndpointReserved, _context: EventContext) -> Traffic:
    return msgspec.structs.replace(state, owner=event.rollout_id)


def _released(state: Traffic, _event: EndpointReleased, _context: EventContext) -> Traffic:
    return msgspec.structs.replace(state, owner=None)


TRAFFIC_FOLDS: Folds[Traffic] = {
    TrafficShifted: _shifted,
    TrafficApplied: _applied,
    EndpointReserved: _reserved,
    EndpointReleased: _released,
}
