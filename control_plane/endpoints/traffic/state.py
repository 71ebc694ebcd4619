"""The state of the traffic: its splits under their epochs, who serves the current one, and who owns it."""

from typing import TypeVar

import msgspec

from control_plane.endpoints.folds import Folds
from control_plane.endpoints.traffic.buckets import weights_of
from control_plane.ports import EventContext
from schemas.documents.endpoints import ServingGateway, ServingRegion
from schemas.envelope import unix_ms
from schemas.events.endpoints import Allocation, EndpointReleased, EndpointReserved, TrafficApplied, TrafficShifted

_EPOCHS_KEPT = 100
_GONE_AFTER_MS = 24 * 60 * 60 * 1000
Serving = TypeVar("Serving", ServingRegion, ServingGateway)


class Epoch(msgspec.Struct, frozen=True):
    """A split that the endpoint had, under the stream version of its event."""

    number: int
    allocations: tuple[Allocation, ...]


class Traffic(msgspec.Struct, frozen=True, kw_only=True):
    """`epochs` ends with the current one, which `applied` is about; `owner` is the rollout that may change it.

    `regions`, and the gateways of each, are those that have served an epoch, and have not been behind for a day when
    another is set.
    """

    epochs: tuple[Epoch, ...] = ()
    applied: tuple[TrafficApplied, ...] = ()
    regions: tuple[ServingRegion, ...] = ()
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
    regions = tuple(
        msgspec.structs.replace(each, gateways=_behind(each.gateways, at=context.at))
        for each in _behind(state.regions, at=context.at)
    )
    return msgspec.structs.replace(state, epochs=epochs[-_EPOCHS_KEPT:], applied=(), regions=regions)


def _behind(serving: tuple[Serving, ...], *, at: str) -> tuple[Serving, ...]:
    """Say that they are behind, without those that have been for a day."""
    return tuple(
        each if each.behind_since else msgspec.structs.replace(each, behind_since=at)
        for each in serving
        if each.behind_since is None or unix_ms(at) - unix_ms(each.behind_since) <= _GONE_AFTER_MS
    )


def _applied(state: Traffic, event: TrafficApplied, _context: EventContext) -> Traffic:
    known = next((each for each in state.regions if each.region == event.region), None)
    serving = ServingRegion(
        region=event.region,
        epoch=event.epoch,
        first_epoch=event.epoch if known is None else known.first_epoch,
        gateways=_with_gateway(() if known is None else known.gateways, event),
    )
    others = (each for each in state.regions if each.region != event.region)
    regions = tuple(sorted((*others, serving), key=lambda each: each.region))
    return msgspec.structs.replace(state, applied=(*state.applied, event), regions=regions)


def _with_gateway(known: tuple[ServingGateway, ...], event: TrafficApplied) -> tuple[ServingGateway, ...]:
    first = next((each.first_epoch for each in known if each.gateway_id == event.gateway_id), event.epoch)
    serving = ServingGateway(gateway_id=event.gateway_id, epoch=event.epoch, first_epoch=first)
    others = (each for each in known if each.gateway_id != event.gateway_id)
    return tuple(sorted((*others, serving), key=lambda each: each.gateway_id))


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
