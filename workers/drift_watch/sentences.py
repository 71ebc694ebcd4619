"""Findings in plain English, one sentence each."""

from typing import assert_never

from workers.drift_watch.findings import Finding


def reason_of(finding: Finding) -> str:
    """Say what changed and by how much, beside what is allowed."""
    match finding.kind:
        case "location":
            word = "higher" if finding.direction == "up" else "lower"
            claim = f"{finding.feature} is {word} than in the reference: a value of now exceeds one of then"
            return f"{claim} in {_share(finding, 0.5)} of pairs ({_interval(finding, 0.5)})"
        case "spread":
            word = "more" if finding.direction == "up" else "less"
            claim = (
                f"{finding.feature} varies {word} than in the reference: its mean distance from the median, in ranks,"
            )
            return f"{claim} is {_share(finding)} instead of {_percent(finding.reference)} ({_interval(finding)})"
        case "outside" | "missing" | "category" | "new":
            instead = f"{_share(finding)} of {_whole(finding)} instead of {_percent(finding.reference)}"
            return f"{_event(finding)}: {instead} ({_interval(finding)})"
        case _:
            assert_never(finding.kind)


def _event(finding: Finding) -> str:
    often = "more often" if finding.direction == "up" else "less often"
    match finding.kind:
        case "outside":
            return f"{finding.feature} is {often} beyond the range of the reference"
        case "missing":
            return f"{finding.feature} is missing {often} than in the reference"
        case "new":
            return f"{finding.feature} {often} has values that the reference lacks"
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
