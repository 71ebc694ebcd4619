"""What a monitor answers, in one sentence each."""

from typing import assert_never

from schemas.events.monitors import Finding


def drifted(findings: tuple[Finding, ...]) -> str:
    """Say what changed most, and how many other features changed."""
    first, others = _sentence(findings[0]), len(findings) - 1
    if not others:
        return f"{first}."
    return f"{first}; {others} more {'feature has' if others == 1 else 'features have'} changed."


def no_drift(*, windows: int, rows: int) -> str:
    """Say how much was looked at."""
    of = "1 window" if windows == 1 else f"{windows:,} windows"
    return f"No change beyond the bounds in {of} with {rows:,} values."


def _sentence(finding: Finding) -> str:
    match finding.kind:
        case "location":
            word = "higher" if finding.direction == "up" else "lower"
            claim = f"{finding.feature} is {word} than in the reference: a value of now exceeds one of then"
            return f"{claim} in {_share(finding, 0.5)} of pairs ({_interval(finding, 0.5)})"
        case "spread":
            word = "more" if finding.direction == "up" else "less"
            claim = f"{finding.feature} varies {word} than in the reference: its mean distance from the median, in"
            return (
                f"{claim} ranks, is {_share(finding)} instead of {_percent(finding.reference)} ({_interval(finding)})"
            )
        case "outside" | "missing" | "category" | "new":
            instead = f"{_share(finding)} of {_whole(finding)} instead of {_percent(finding.reference)}"
            return f"{_event(finding)}: {instead} ({_interval(finding)})"
        case _:
            assert_never(finding.kind)


def _event(finding: Finding) -> str:
    often = "more often" if finding.direction == "up" else "less often"
    match finding.kind:
        case "outside":
            return f"{finding.feature} is outside the reference's range {often}"
        case "missing":
            return f"{finding.feature} is missing {often} than in the reference"
        case "new":
            return f"{finding.feature} has values that the reference lacks"
        case _:
            return f'{finding.feature} is "{finding.category}" {often} than in the reference'


def _whole(finding: Finding) -> str:
    return "rows" if finding.kind == "missing" else "values"


def _share(finding: Finding, reference: float | None = None) -> str:
    return _percent((finding.reference if reference is None else reference) + finding.effect)


def _interval(finding: Finding, reference: float | None = None) -> str:
    zero = finding.reference if reference is None else reference
    lower, upper = _number(zero + finding.lower), _percent(zero + finding.upper)
    sign, word = (1, "up to") if finding.direction == "up" else (-1, "down to")
    return f"99 % interval {lower} to {upper}, allowed {word} {_percent(zero + sign * finding.allowed)}"


def _percent(share: float) -> str:
    return f"{_number(share)} %"


def _number(share: float) -> str:
    return f"{100 * min(max(share, 0.0), 1.0):.1f}"
