"""When a step begins: once every region that has served the endpoint serves it. And which regions are away. Pure."""

from collections.abc import Mapping, Sequence

import msgspec

from schemas.documents.endpoints import ServingRegion
from schemas.documents.rollouts import Rollout
from schemas.envelope import rfc3339, unix_ms
from schemas.events.endpoints import TrafficApplied
from schemas.events.rollouts import Measurement, RegionAway
from schemas.measurement import Measured


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


def silent_since(known: Mapping[str, float], answer: Measured, *, now_s: float) -> dict[str, float]:
    """Return since when each region is silent, on the judge's clock."""
    return {each.region: known.get(each.region, now_s) for each in answer.silent_regions}


def behind_as_away(regions: Sequence[ServingRegion], *, away_ms: int) -> tuple[RegionAway, ...]:
    """Say of regions that they do not serve the step."""
    return tuple(
        RegionAway(region=each.region, epoch=each.epoch, since=each.behind_since or "", away_ms=away_ms)
        for each in regions
    )


def silent_as_away(answer: Measured, *, epoch: int, since_s: Mapping[str, float], now_s: float) -> list[RegionAway]:
    """Say of regions that nothing comes from them."""
    return [
        RegionAway(
            region=each.region,
            epoch=epoch,
            since=rfc3339(each.since_ms),
            away_ms=max(0, round(1_000 * (now_s - since_s.get(each.region, now_s)))),
        )
        for each in answer.silent_regions
    ]


def with_regions(measurement: Measurement, regions: Sequence[RegionAway], rollout: Rollout) -> Measurement:
    """Add the regions that are away: those that are waited for, and those that are excused."""
    names = {each.region for each in rollout.excused}
    return msgspec.structs.replace(
        measurement,
        away=tuple(each for each in regions if each.region not in names),
        excused=tuple(each for each in regions if each.region in names),
    )


def _known(endpoint: Endpoint, rollout: Rollout) -> list[ServingRegion]:
    return [each for each in endpoint.regions if each.first_epoch < _epoch(rollout)]


def _epoch(rollout: Rollout) -> int:
    return 0 if rollout.epoch is None else rollout.epoch
