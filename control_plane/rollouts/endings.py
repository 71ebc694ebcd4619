"""What each kind of missing evidence means for a step that has reached its longest duration."""

from collections.abc import Sequence

import msgspec

from control_plane.rollouts.aggregate import RolloutState
from schemas.events.rollouts import Outcome, Verdict, WhenMissing

_STRICTNESS: tuple[WhenMissing, ...] = ("pass", "pause", "abort")
# What explains most comes first.
_OPEN: tuple[Outcome, ...] = ("late", "no_data", "too_little_data", "undecided")


def ending_of(rollout: RolloutState, verdict: Verdict) -> WhenMissing:
    """Return what the plan says about a gate that is still open; one that passes keeps nothing from going on."""
    match verdict.outcome:
        case "pass":
            return "pass"
        case "late":
            configured: WhenMissing | None = rollout.when_late
        case "no_data":
            configured = rollout.when_no_data
        case "too_little_data":
            configured = rollout.when_too_little_data
        case _:
            configured = None
    return configured or rollout.when_inconclusive


def strictest(endings: Sequence[WhenMissing]) -> WhenMissing:
    """Return the one that decides where gates differ."""
    return max(endings, key=_STRICTNESS.index)


def what_holds_back(rollout: RolloutState, verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Return the gates that keep a step from going on, those with the strictest consequence first."""
    held = [each for each in verdicts if ending_of(rollout, each) != "pass"]
    return sorted(held, key=lambda each: (-_STRICTNESS.index(ending_of(rollout, each)), _OPEN.index(each.outcome)))


def passed_over(verdict: Verdict) -> Verdict:
    """Say of a gate without enough data that the plan goes on without it."""
    if verdict.outcome == "pass":
        return verdict
    reason = f"{verdict.reason}; it is passed over as configured"
    return msgspec.structs.replace(verdict, reason=reason, is_passed_over=True)
