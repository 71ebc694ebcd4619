"""How times and spans read in reasons. Pure: the current time comes from the measurement."""

from datetime import UTC, datetime

from schemas.envelope import unix_ms
from schemas.events.rollouts import Measurement, RegionAway

_DAY_MS = 24 * 3_600_000
_SPANS = ((2 * _DAY_MS, "days", _DAY_MS), (120 * 60_000, "h", 3_600_000), (120_000, "min", 60_000))
_MAX_DIGITS = 3


def span(duration_ms: int) -> str:
    """Write a duration that is not negative, with three digits or all whole ones."""
    for least_ms, unit, unit_ms in _SPANS:
        if duration_ms >= least_ms:
            return f"{_number(duration_ms / unit_ms)} {unit}"
    return f"{_number(duration_ms / 1000)} s"


def clock(at_ms: int, *, now_ms: int) -> str:
    """Write a time of day, with the date if that is more than a day ago."""
    form = "%Y-%m-%d %H:%M:%S UTC" if now_ms - at_ms > _DAY_MS else "%H:%M:%S UTC"
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime(form)


def measured_at_ms(measurement: Measurement) -> int:
    """Return when a measurement was made, or as late a time before that as it tells."""
    seen_ms = measurement.watermark_ms + (measurement.lag_ms or 0)
    away = ((since_ms(each), each.away_ms) for each in measurement.away)
    return max((seen_ms, *(since + away_ms for since, away_ms in away if since is not None)))


def since_ms(away: RegionAway) -> int | None:
    """Return since when a region is away; None while its endpoint does not say so, or says no time."""
    try:
        return unix_ms(away.since)
    except ValueError:
        return None


def _number(value: float) -> str:
    return f"{value:.{_MAX_DIGITS}g}" if value < 10**_MAX_DIGITS - 0.5 else f"{value:,.0f}"
