"""Verdicts as rows that people read: what was compared, both sides, the difference, what is allowed, the outcome."""

from collections.abc import Sequence
from math import floor, log10

import msgspec

from rollbook.resources import Counts, Verdict

_SMALL_SHARE = 0.01
_NOTHING = "-"
_SELF_EXPLANATORY = ("pass", "fail", "undecided")


class GateRow(msgspec.Struct, frozen=True, kw_only=True):
    """One gate, in text. Differences are in points, candidate minus baseline; counts are those of the share beside."""

    compared: str
    candidate: str
    candidate_count: str
    baseline: str
    baseline_count: str
    difference: str
    interval: str
    allowed: str
    outcome: str


def gate_rows(verdicts: Sequence[Verdict]) -> list[GateRow]:
    """Return a row for each verdict, all with as many digits as the smallest share needs."""
    shares = [_share(each, counts) for each in verdicts for counts in (each.candidate, each.baseline)]
    digits = 2 if any(share is not None and 0 < share < _SMALL_SHARE for share in shares) else 1
    return [_row(each, digits) for each in verdicts]


def level_of(verdicts: Sequence[Verdict]) -> str:
    """Return the level of the intervals; all gates of a rollout have the same."""
    if not verdicts:
        return ""
    # As many digits as keep a small alpha from reading as certainty.
    digits = max(1, -floor(log10(100 * verdicts[0].alpha)))
    return f"{100 * (1 - verdicts[0].alpha):.{digits}f} %"


def explanations(verdicts: Sequence[Verdict]) -> list[str]:
    """Return what the rows do not show, each sentence once: what is missing, and all about an earlier verdict."""
    unexplained = [each for each in verdicts if each.subject is None or each.outcome not in _SELF_EXPLANATORY]
    missing = [f"{each.reason[:1].upper()}{each.reason[1:]}." for each in unexplained]
    regions = [f"Judged without {', '.join(each.without_regions)}." for each in verdicts if each.without_regions]
    return list(dict.fromkeys([*missing, *regions]))


def _row(verdict: Verdict, digits: int) -> GateRow:
    interval = _interval(verdict)
    outcome = verdict.outcome.replace("_", " ")
    return GateRow(
        compared=verdict.subject or verdict.gate.replace("_", " "),
        candidate=_percent(_share(verdict, verdict.candidate), digits),
        candidate_count=_count(verdict, verdict.candidate),
        baseline=_percent(_share(verdict, verdict.baseline), digits),
        baseline_count=_count(verdict, verdict.baseline),
        difference=_points(_as_shown(verdict, verdict.estimate), digits),
        interval=_NOTHING if interval is None else " to ".join(_points(bound, digits) for bound in interval),
        allowed=_points(_as_shown(verdict, verdict.max_difference), digits),
        outcome=f"{outcome}, passed over" if verdict.is_passed_over else outcome,
    )


def _shown(verdict: Verdict, counts: Counts) -> int:
    return counts.trials - counts.bad if verdict.worse == "below" else counts.bad


def _share(verdict: Verdict, counts: Counts | None) -> float | None:
    return None if counts is None or not counts.trials else _shown(verdict, counts) / counts.trials


def _count(verdict: Verdict, counts: Counts | None) -> str:
    return _NOTHING if counts is None else f"{_shown(verdict, counts):,}/{counts.trials:,}"


def _as_shown(verdict: Verdict, difference: float | None) -> float | None:
    """Turn a difference of bad outcomes into one of those that are shown."""
    return -difference if difference is not None and verdict.worse == "below" else difference


def _interval(verdict: Verdict) -> tuple[float, float] | None:
    if verdict.lower is None or verdict.upper is None:
        return None
    return (-verdict.upper, -verdict.lower) if verdict.worse == "below" else (verdict.lower, verdict.upper)


def _percent(share: float | None, digits: int) -> str:
    return _NOTHING if share is None else f"{100 * share:.{digits}f} %"


def _points(difference: float | None, digits: int) -> str:
    """Write a difference with its sign, and a zero without the one that rounding would leave."""
    if difference is None:
        return _NOTHING
    points = round(100 * difference, digits)
    return f"{points:+.{digits}f}" if points else f"{0:.{digits}f}"
