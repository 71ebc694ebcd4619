"""What a monitor's terms and its reference must be, and which looks say something about it."""

from math import isfinite

import msgspec

from control_plane.monitors.errors import InvalidMonitorError, LookDiffersError, MonitorPhaseError
from schemas.documents.monitors import Monitor
from schemas.events.monitors import Bounds, Look, MonitorTerms, ReferenceStretch

MINUTE_MS = 60_000
DAY_MS = 24 * 3_600_000
MAX_AGE_MS = 35 * DAY_MS
MIN_BUDGET = 1e-6


def terms_can_be_kept(terms: MonitorTerms) -> None:
    """Refuse terms with which nothing could be promised."""
    if terms.window_ms % MINUTE_MS or DAY_MS % terms.window_ms:
        raise InvalidMonitorError(
            f"{terms.window_ms // 1_000} s are no whole minutes that divide a day",
            field="window_s",
            remedy="give 60, 300, 900, 3600, 21600 or 86400",
        )
    if terms.false_alarm_budget < MIN_BUDGET:
        raise InvalidMonitorError(
            f"a budget of {terms.false_alarm_budget:g} can never be spent",
            field="false_alarm_budget",
            remedy="give a probability such as 0.1: one false alarm in ten months",
        )
    if len(set(terms.features)) != len(terms.features):
        raise InvalidMonitorError("a feature is named twice", field="features", remedy="name each of them once")
    _bounds_are_shares(terms.bounds)


def references_are_stretches_of_the_past(stretch: ReferenceStretch, terms: MonitorTerms, *, now_ms: int) -> None:
    """Refuse a reference that is no past stretch with a whole window, or of which nothing is kept any more."""
    if stretch.until_ms > now_ms:
        raise InvalidMonitorError(
            "the reference ends in the future", field="reference.until_ms", remedy="give a time that is past"
        )
    if stretch.from_ms < now_ms - MAX_AGE_MS:
        raise InvalidMonitorError(
            f"the reference begins {(now_ms - stretch.from_ms) / DAY_MS:.0f} days ago",
            field="reference.from_ms",
            remedy="let it begin at most 35 days ago: summaries are not kept for longer",
        )
    first_ms, last_ms = stretch.whole_windows(terms.window_ms)
    if first_ms >= last_ms:
        raise InvalidMonitorError(
            "the reference has no whole window",
            field="reference.from_ms",
            remedy=f"let it last for hundreds of windows of {terms.window_ms // MINUTE_MS} minutes",
        )


def the_reference_has_the_features(state: Monitor, terms: MonitorTerms) -> None:
    """Refuse features that the monitor's reference does not have: nothing could be said of them."""
    if state.reference is None:
        return
    for each in terms.features:
        if each not in state.reference.features:
            raise InvalidMonitorError(
                f"the reference has no {each}",
                field="features",
                remedy=f"name some of these: {', '.join(state.reference.features[:10])}",
            )


def a_look_is_of_the_evidence(state: Monitor, look: Look, *, now_ms: int) -> None:
    """Refuse a look that was made with something else than the monitor has, and one of numbers that are none."""
    if state.phase != "watching" or state.reference is None:
        raise MonitorPhaseError(state.name, state.phase, remedy="look at it once it is watching")
    if look.reference_digest != state.reference.digest:
        raise LookDiffersError("the look was made with another reference", field="reference_digest")
    if (look.begun_at_version, look.since_ms) != (state.begun_at_version, state.since_ms):
        raise LookDiffersError(f"the evidence begins at {state.since_ms}", field="since_ms")
    if look.until_ms % state.terms.window_ms or not state.since_ms <= look.until_ms <= now_ms:
        raise LookDiffersError(f"no window of the evidence ends at {look.until_ms}", field="until_ms")
    if not _is_finite(look):
        raise LookDiffersError("the look has a number that is not finite", field="log_evidence")


def _is_finite(look: Look) -> bool:
    numbers = [look.log_evidence]
    for each in look.findings:
        numbers += [each.effect, each.lower, each.upper, each.reference, each.allowed, each.log_evidence]
    return all(map(isfinite, numbers))


def _bounds_are_shares(bounds: Bounds) -> None:
    for name, bound in msgspec.structs.asdict(bounds).items():
        if not 0 <= bound < 1:
            raise InvalidMonitorError(
                f"{bound:g} is not a share", field=f"bounds.{name}", remedy="give a number from 0 to below 1"
            )
