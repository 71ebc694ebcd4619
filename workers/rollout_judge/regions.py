"""When a step begins: once every region that has served the endpoint serves the step's epoch. Pure."""

from collections.abc import Sequence

import msgspec

from schemas.documents.endpoints import ServingRegion
from schemas.documents.rollouts import Rollout
from schemas.envelope import unix_ms
from schemas.events.endpoints import TrafficApplied
from schemas.events.rollouts import RegionAway


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """What the judge reads from an endpoint's document; those of earlier releases have no regions."""

    applied: tuple[TrafficApplied, ...]
    regions: tuple[ServingRegion, ...] = ()


def behind(endpoint: Endpoint, rollout: Rollout) -> tuple[ServingRegion, ...]:
    """Return the regions that served the endpoint before the step and do not serve its epoch."""
    return tuple(each for each in _known(endpoint, rollout) if each.epoch < _epoch(rollout))


def began_at_ms(endpoint: Endpoint, rollout: Rollout) -> int | None:
    """Return when the last region that the step waits for served it; None until then.

    A region that served the endpoint for the first time during the step changes nothing, nor does one that was excused
    and is back. Where no region is known, the step begins with the first.
    """
    excused = {each.region for each in rollout.excused}
    awaited = {each.region for each in _known(endpoint, rollout)} - excused
    served = {each.region: unix_ms(each.applied_at) for each in endpoint.applied if each.epoch == rollout.epoch}
    if not served or not awaited <= served.keys():
        return None
    return max(served[region] for region in awaited) if awaited else min(served.values())


def away(regions: Sequence[ServingRegion], rollout: Rollout, *, away_ms: int) -> tuple[RegionAway, ...]:
    """Return those that the step waits for."""
    excused = {each.region for each in rollout.excused}
    return tuple(_away(each, away_ms=away_ms) for each in regions if each.region not in excused)


def excused(regions: Sequence[ServingRegion], rollout: Rollout, *, away_ms: int) -> tuple[RegionAway, ...]:
    """Return those that it does not wait for, as long as they are away."""
    excused = {each.region for each in rollout.excused}
    return tuple(_away(each, away_ms=away_ms) for each in regions if each.region in excused)


def _known(endpoint: Endpoint, rollout: Rollout) -> list[ServingRegion]:
    return [each for each in endpoint.regions if each.first_epoch < _epoch(rollout)]


def _epoch(rollout: Rollout) -> int:
    return 0 if rollout.epoch is None else rollout.epoch


def _away(region: ServingRegion, *, away_ms: int) -> RegionAway:
    return RegionAway(region=region.region, epoch=region.epoch, since=region.behind_since or "", away_ms=away_ms)
