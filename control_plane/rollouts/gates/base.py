"""What every gate is: a pure comparison of two shares of bad outcomes, answered with its reason."""

from collections.abc import Sequence
from datetime import UTC, datetime
from math import isfinite
from typing import ClassVar, Literal, Protocol

import msgspec

from control_plane.rollouts.gates.sequential import Difference, bound_difference
from schemas.events.rollouts import Counts, Measurement, Outcome, Verdict

_SMALL_SHARE = 0.01


class Problem(msgspec.Struct, frozen=True):
    """A parameter that makes no sense, by its name, and what would make sense."""

    field: str
    detail: str
    remedy: str


class GateRule(Protocol):
    """One kind of gate, built from its parameters.

    A rule is pure and total: the same counts give the same verdict, whatever was looked at before. It never raises
    once `problems` is empty, and its verdict's reason is a whole sentence with the figures.
    """

    kind: ClassVar[str]
    compares_over_time: ClassVar[bool]
    """Whether the candidate of now may be compared with the baseline of before, as it is while baking: a share of
    failures hardly depends on the hour, while latency goes with the load and accuracy with what is asked."""

    def problems(self) -> tuple[Problem, ...]:
        """Return what is wrong with the parameters; asked once, before the rollout starts."""

    def judge(self, candidate: Counts, baseline: Counts, *, alpha: float) -> Verdict:
        """Compare the cumulative counts of both arms; a wrong pass or fail has probability at most `alpha`.

        The probability covers all looks of a step together, so a caller may look as often as it likes.
        """


class LimitsIncrease(Protocol):
    """The parameters of a gate on how much a share of requests may increase."""

    @property
    def max_increase(self) -> float: ...

    @property
    def min_requests(self) -> int: ...


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What a gate compares, how much it allows, and how its reason reads.

    `worse` says where a worse candidate stands. A subject that gets worse downwards is shown as the share of good
    outcomes, 1 - bad.
    """

    kind: str
    subject: str
    unit: str
    worse: Literal["above", "below"]
    max_difference: float
    min_trials: int


def increase_terms(kind: str, gate: LimitsIncrease, subject: str, *, unit: str) -> Terms:
    """Return the terms of a gate on how much a share may increase."""
    return Terms(
        kind=kind,
        subject=subject,
        unit=unit,
        worse="above",
        max_difference=gate.max_increase,
        min_trials=gate.min_requests,
    )


def compare(terms: Terms, candidate: Counts, baseline: Counts, *, alpha: float) -> Verdict:
    """Decide by where the whole interval of the difference lies, not by where its middle does."""
    if candidate.trials == 0 or baseline.trials == 0:
        empty = "candidate" if candidate.trials == 0 else "baseline"
        return _verdict_without_bounds(terms.kind, "no_data", f"the {empty} has no {terms.unit} yet", alpha=alpha)
    difference = bound_difference(candidate, baseline, alpha=alpha)
    outcome = _outcome(terms, difference, trials=min(candidate.trials, baseline.trials))
    return Verdict(
        gate=terms.kind,
        outcome=outcome,
        reason=(
            f"{_headline(terms, outcome, candidate, baseline)}; {_evidence(difference, baseline, terms, alpha=alpha)}, "
            f"{_allowance(terms, outcome)}"
        ),
        estimate=difference.estimate,
        lower=difference.lower,
        upper=difference.upper,
        alpha=alpha,
    )


def late(kind: str, measurement: Measurement, *, alpha: float) -> Verdict:
    """Conclude nothing, as too many of the newest records are missing, and say which and since when."""
    if not measurement.counts:
        reason = "the view of requests did not answer, so nothing is decided"
    else:
        since = datetime.fromtimestamp(measurement.watermark_ms / 1000, UTC).strftime("%H:%M:%S")
        lag = "" if measurement.lag_ms is None else f", {measurement.lag_ms / 1000:.0f} s so far"
        reason = f"records since {since} UTC are missing{lag}{_awaited(measurement.waiting_for)}"
    return _verdict_without_bounds(kind, "late", reason, alpha=alpha)


def increase_problems(gate: LimitsIncrease) -> tuple[Problem, ...]:
    """Check how much a share may increase, and on how many requests."""
    return (
        *difference_problems("max_increase", gate.max_increase),
        *minimum_problems("min_requests", gate.min_requests),
    )


def difference_problems(field: str, value: float) -> tuple[Problem, ...]:
    """Check an allowed difference of two shares."""
    if 0 <= value < 1:
        return ()
    return (
        Problem(
            field, f"{value:g} is not a share", "give a number from 0 up to but not including 1; 0.02 means two points"
        ),
    )


def duration_problems(field: str, value: float) -> tuple[Problem, ...]:
    """Check a threshold in milliseconds."""
    if isfinite(value) and value > 0:
        return ()
    return (Problem(field, f"{value:g} ms is not a duration", "give a number above 0"),)


def name_problems(field: str, value: str, *, remedy: str) -> tuple[Problem, ...]:
    """Check the name of the feedback that a gate rests on."""
    return () if value.strip() else (Problem(field, "it does not name any feedback", remedy),)


def number_problems(field: str, value: float, *, kind: str) -> tuple[Problem, ...]:
    """Check a threshold that may be any finite number of a kind, such as a loss."""
    return (
        ()
        if isfinite(value)
        else (Problem(field, f"{value:g} is not a {kind} to compare with", "give a finite number"),)
    )


def minimum_problems(field: str, value: int) -> tuple[Problem, ...]:
    """Check the fewest trials that a pass needs."""
    return () if value >= 1 else (Problem(field, f"{value} trials are too few to decide", "give at least 1"),)


def _verdict_without_bounds(kind: str, outcome: Outcome, reason: str, *, alpha: float) -> Verdict:
    return Verdict(
        gate=kind, outcome=outcome, reason=f"{kind}: {reason}", estimate=None, lower=None, upper=None, alpha=alpha
    )


def _awaited(sources: Sequence[str]) -> str:
    if not sources:
        return ""
    if len(sources) == 1:
        return f": {sources[0]} holds them back"
    return f": {sources[0]} and {len(sources) - 1} more hold them back"


def _outcome(terms: Terms, difference: Difference, *, trials: int) -> Outcome:
    if difference.lower > terms.max_difference:
        return "fail"
    if trials < terms.min_trials:
        return "too_little_data"
    return "pass" if difference.upper <= terms.max_difference else "undecided"


def _headline(terms: Terms, outcome: Outcome, candidate: Counts, baseline: Counts) -> str:
    match outcome:
        case "fail":
            finding = f"{terms.subject} {'rose' if terms.worse == 'above' else 'fell'}"
        case "pass":
            finding = f"{terms.subject} held"
        case "too_little_data":
            finding = f"too few {terms.unit} to judge {terms.subject}"
        case _:
            finding = f"{terms.subject} is undecided"
    shares = f"{_shown(terms, candidate)} vs {_shown(terms, baseline)}"
    return f"{finding}: {shares} on {candidate.trials:,} {terms.unit}"


def _evidence(difference: Difference, baseline: Counts, terms: Terms, *, alpha: float) -> str:
    is_worse = difference.estimate > 0
    low, high = (difference.lower, difference.upper) if is_worse else (0.0 - difference.upper, 0.0 - difference.lower)
    distance = _points(abs(difference.estimate))
    finding = "level with" if distance == "0.0" else f"{distance} points {'worse' if is_worse else 'better'} than"
    interval = f"{100 * (1 - alpha):.1f} % interval {_points(low)} to {_points(high)}"
    return f"{finding} the baseline on {baseline.trials:,} {terms.unit} ({interval})"


def _allowance(terms: Terms, outcome: Outcome) -> str:
    if outcome == "too_little_data":
        return f"at least {terms.min_trials:,} {terms.unit} are needed on both sides"
    return f"at most {_points(terms.max_difference)} points worse is allowed"


def _shown(terms: Terms, counts: Counts) -> str:
    bad = counts.bad if terms.worse == "above" else counts.trials - counts.bad
    share = bad / counts.trials
    digits = 2 if 0 < share < _SMALL_SHARE else 1
    return f"{100 * share:.{digits}f} %"


def _points(share: float) -> str:
    """Write a share in points, without the sign that rounding would leave on a zero."""
    return f"{round(100 * share, 1) + 0.0:.1f}"
