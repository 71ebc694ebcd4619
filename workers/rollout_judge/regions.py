"""When a step begins: once every region that has served the endpoint serves it. And which regions are away. Pure.

A region serves a step once one of its gateways does, and so does every other that has served the endpoint and is alive.
A gateway is alive while the view waits for its records: until it has closed its log, or has been silent for 15 minutes.
So a gateway that is gone holds up a step for no longer than it holds up the evidence. As long as the view has not said
which are alive, all count as alive. The last gateways of a region are the region, and are waited for as it is.
"""

from collections.abc import Collection, Mapping, Sequence

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


def behind(endpoint: Endpoint, rollout: Rollout, *, alive: Collection[str] | None = None) -> tuple[ServingRegion, ...]:
    """Return the regions that served the endpoint before the step and do not serve its epoch, each as its slowest."""
    slowest = (_slowest(each, epoch=_epoch(rollout), alive=alive) for each in _known(endpoint, rollout))
    return tuple(each for each in slowest if each.epoch < _epoch(rollout))


def began_at_ms(endpoint: Endpoint, rollout: Rollout, *, alive: Collection[str] | None = None) -> int | None:
    """Return when the last region that the step waits for served it; None until then.

    A region, or a gateway of one, that served the endpoint for the first time during the step changes nothing, nor does
    a region that was excused and is back. Where no region is known, the step begins with the first.
    """
    excused = {each.region for each in rollout.excused}
    awaited = [each for each in _known(endpoint, rollout) if each.region not in excused]
    applied = [each for each in endpoint.applied if each.epoch == rollout.epoch]
    served = [_served_at_ms(each, applied, epoch=_epoch(rollout), alive=alive) for each in awaited]
    if not applied or None in served:
        return None
    return max(
        (at_ms for at_ms in served if at_ms is not None), default=min(unix_ms(each.applied_at) for each in applied)
    )


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


def _served_at_ms(
    region: ServingRegion, applied: Sequence[TrafficApplied], *, epoch: int, alive: Collection[str] | None
) -> int | None:
    here = {each.gateway_id: unix_ms(each.applied_at) for each in applied if each.region == region.region}
    if not here or _slowest(region, epoch=epoch, alive=alive).epoch < epoch:
        return None
    known = [here[each.gateway_id] for each in region.gateways if each.first_epoch < epoch and each.gateway_id in here]
    return max(known) if known else min(here.values())


def _slowest(region: ServingRegion, *, epoch: int, alive: Collection[str] | None) -> ServingRegion:
    """Return a region as its slowest gateway serves it; where none serves the epoch, as the region does."""
    slow = [each for each in region.gateways if each.epoch < epoch and (alive is None or each.gateway_id in alive)]
    if region.epoch < epoch or not slow:
        return region
    last = min(slow, key=lambda each: each.epoch)
    return msgspec.structs.replace(region, epoch=last.epoch, behind_since=last.behind_since)


def _known(endpoint: Endpoint, rollout: Rollout) -> list[ServingRegion]:
    return [each for each in endpoint.regions if each.first_epoch < _epoch(rollout)]


def _epoch(rollout: Rollout) -> int:
    return 0 if rollout.epoch is None else rollout.epoch
