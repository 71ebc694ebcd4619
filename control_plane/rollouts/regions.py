"""What follows from regions that do not serve a step: it is held, or goes on without them. Pure."""

from collections.abc import Sequence

import msgspec

from control_plane.rollouts.times import clock, measured_at_ms, since_ms
from schemas.documents.rollouts import Rollout
from schemas.events.rollouts import Measurement, RegionAway, RegionsExcused, StepHeld, StepReleased


def what_regions_do(rollout: Rollout, measurement: Measurement) -> tuple[msgspec.Struct, ...]:
    """Return what is to be recorded, which each region is once in a step: that it holds it, or is excused.

    A step that was held is released by a measurement of it after it has begun.
    """
    step, epoch, overdue = measurement.step, measurement.epoch, _overdue(rollout, measurement)
    at = f"at {rollout.weight_percent:g} %"
    if overdue and rollout.when_region_away == "excuse":
        reason = f"Goes on {at} without {_joined(overdue)}: {cut_off(overdue, measurement)}."
        return (RegionsExcused(step=step, epoch=epoch, regions=overdue, reason=reason),)
    if overdue and not measurement.has_begun and not _names(overdue) <= _names(rollout.held_by):
        return (
            StepHeld(step=step, epoch=epoch, regions=overdue, reason=f"Held {at}: {cut_off(overdue, measurement)}."),
        )
    return released(rollout, measurement)


def released(rollout: Rollout, measurement: Measurement) -> tuple[StepReleased, ...]:
    """Return that a step which was held has begun; the history says so also where the same look decides the step."""
    if not (measurement.has_begun and rollout.held_by):
        return ()
    are = "is" if len(rollout.held_by) == 1 else "are"
    reason = f"Begun at {rollout.weight_percent:g} %: {_joined(rollout.held_by)} {are} no longer behind."
    return (StepReleased(step=measurement.step, epoch=measurement.epoch, reason=reason),)


def excused_with(known: tuple[RegionAway, ...], more: tuple[RegionAway, ...]) -> tuple[RegionAway, ...]:
    """Return all regions that are excused, each as it was when last excused."""
    return (*(each for each in known if each.region not in _names(more)), *more)


def cut_off(regions: Sequence[RegionAway], measurement: Measurement) -> str:
    """Say which epoch each region serves still, or that nothing comes from it, and since when."""
    now_ms = measured_at_ms(measurement)
    return ", ".join(_cut_off(each, epoch=measurement.epoch, now_ms=now_ms) for each in regions)


def _cut_off(away: RegionAway, *, epoch: int, now_ms: int) -> str:
    began_ms = since_ms(away)
    since = "" if began_ms is None else f" since {clock(began_ms, now_ms=now_ms)}"
    if away.epoch == epoch:
        return f"nothing has come from {away.region}{since}"
    behind = f"has been behind{since}" if since else "is behind"
    # No clause begins with a name: whoever makes a sentence of it begins it with a capital letter.
    return f"region {away.region} {behind} and still serves epoch {away.epoch}"


def _joined(regions: Sequence[RegionAway]) -> str:
    return " and ".join(each.region for each in regions)


def _overdue(rollout: Rollout, measurement: Measurement) -> tuple[RegionAway, ...]:
    """Return those that are away for longer than the plan allows; one that is excused already is waited for no more."""
    excused = _names(rollout.excused)
    away = (each for each in measurement.away if each.region not in excused)
    return tuple(each for each in away if each.away_ms >= rollout.region_grace_ms)


def _names(regions: Sequence[RegionAway]) -> set[str]:
    return {each.region for each in regions}
