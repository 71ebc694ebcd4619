"""How two arms are compared: a pure function from their counts to a verdict, with all that it rests on."""

from collections.abc import Sequence

import msgspec

from control_plane.rollouts.gates.base import Terms
from control_plane.rollouts.gates.sequential import Difference, bound_difference
from control_plane.rollouts.regions import cut_off
from control_plane.rollouts.times import clock, measured_at_ms, span
from schemas.events.rollouts import Counts, GateCounts, Measurement, MissingSource, Outcome, Verdict

_SMALL_SHARE = 0.01
_MAX_DIGITS = 6


def compare(terms: Terms, counts: GateCounts, *, alpha: float, since_ms: int) -> Verdict:
    """Decide by where the whole interval of the difference lies, not by where its middle does.

    The counts are cumulative `since_ms`. The same counts give the same verdict, whatever was looked at before. A wrong
    pass or fail has probability at most `alpha` over all looks of a step together, so a caller may look as often as it
    likes. The reason is a short clause; all figures are in the verdict.
    """
    verdict = _without_bounds(terms, counts, alpha=alpha)
    if not (counts.candidate.trials and counts.baseline.trials):
        reason = _what_is_missing(terms, counts, since_ms=since_ms)
        return msgspec.structs.replace(verdict, outcome="no_data", reason=reason)
    difference = bound_difference(counts.candidate, counts.baseline, alpha=alpha)
    outcome = _outcome(terms, difference, counts)
    return msgspec.structs.replace(
        verdict,
        outcome=outcome,
        reason=_finding(terms, outcome, counts),
        estimate=difference.estimate,
        lower=difference.lower,
        upper=difference.upper,
    )


def without_baseline(terms: Terms, counts: GateCounts, *, alpha: float) -> Verdict:
    """Conclude nothing while baking, as no step was decided beside a baseline that had any."""
    reason = f"{_name(terms)} is compared with nothing: no step was decided while the baseline had {terms.unit}"
    return msgspec.structs.replace(_without_bounds(terms, counts, alpha=alpha), outcome="no_data", reason=reason)


def late(terms: Terms, measurement: Measurement, counts: GateCounts | None, *, alpha: float) -> Verdict:
    """Conclude nothing, as too many of the newest records are missing, and say which and since when."""
    if not measurement.has_begun:
        cause = cut_off(measurement.away, measurement) or f"no gateway serves epoch {measurement.epoch}"
        reason = f"{cause}, so the step has not begun"
    elif not measurement.counts:
        reason = "the view of requests did not answer"
    else:
        ahead = [each for each in measurement.missing if each.ahead_ms]
        is_behind = len(ahead) < len(measurement.missing) or not ahead
        reason = "; ".join([*([_behind(measurement)] if is_behind else []), *map(_ahead, ahead[:1])])
    return msgspec.structs.replace(_without_bounds(terms, counts, alpha=alpha), reason=reason)


def _without_bounds(terms: Terms, counts: GateCounts | None, *, alpha: float) -> Verdict:
    return Verdict(
        gate=terms.kind,
        outcome="late",
        reason="",
        estimate=None,
        lower=None,
        upper=None,
        alpha=alpha,
        subject=terms.subject,
        unit=terms.unit,
        worse=terms.worse,
        candidate=None if counts is None else counts.candidate,
        baseline=None if counts is None else counts.baseline,
        max_difference=terms.max_difference,
        min_trials=terms.min_trials,
    )


def _outcome(terms: Terms, difference: Difference, counts: GateCounts) -> Outcome:
    if difference.lower > terms.max_difference:
        return "fail"
    if min(counts.candidate.trials, counts.baseline.trials) < terms.min_trials:
        return "too_little_data"
    return "pass" if difference.upper <= terms.max_difference else "undecided"


def _finding(terms: Terms, outcome: Outcome, counts: GateCounts) -> str:
    own, other = _share(terms, counts.candidate), _share(terms, counts.baseline)
    shares = f"{_percent(own)} vs {_percent(other)}"
    match outcome:
        case "fail":
            return f"{terms.subject} {'rose' if terms.worse == 'above' else 'fell'} {_change(other, own)}"
        case "pass":
            return f"{terms.subject} held: {shares}"
        case "too_little_data":
            few = min(counts.candidate.trials, counts.baseline.trials)
            arm = "candidate" if counts.candidate.trials == few else "baseline"
            return f"{_name(terms)} has {few:,} of the {terms.min_trials:,} {terms.unit} it needs on the {arm}"
        case _:
            return f"{_name(terms)} is undecided: {shares}"


def _what_is_missing(terms: Terms, counts: GateCounts, *, since_ms: int) -> str:
    empty = [arm for arm in ("candidate", "baseline") if not getattr(counts, arm).trials]
    where = f"on the {empty[0]}" if len(empty) == 1 else "on either side"
    missing = f"{terms.unit} called {terms.called}" if terms.called else terms.unit
    since = clock(since_ms, now_ms=since_ms)
    return f"{_name(terms)} has had no {missing} {where} since {since}, when the step was applied"


def _share(terms: Terms, counts: Counts) -> float:
    bad = counts.bad if terms.worse == "above" else counts.trials - counts.bad
    return bad / counts.trials


def _change(before: float, after: float) -> str:
    """Write a change with as many digits as it takes to see it."""
    for more in range(_MAX_DIGITS):
        shown = _percent(before, more=more), _percent(after, more=more)
        if shown[0] != shown[1]:
            break
    return f"from {shown[0]} to {shown[1]}"


def _percent(share: float, *, more: int = 0) -> str:
    digits = 2 if 0 < share < _SMALL_SHARE else 1
    return f"{100 * share:.{digits + more}f} %"


def _name(terms: Terms) -> str:
    return terms.kind.replace("_", " ")


def _behind(measurement: Measurement) -> str:
    """Say since when records are missing, and because of which sources."""
    missing = [each for each in measurement.missing if not each.ahead_ms]
    # Those of a region that is lost for long are missing from before the watermark.
    since_ms = min((measurement.watermark_ms, *(each.since_ms for each in missing)))
    since = clock(since_ms, now_ms=measured_at_ms(measurement))
    is_known = measurement.lag_ms is not None and len(missing) == len(measurement.missing)
    lag = f", {span(1000 * round((measurement.lag_ms or 0) / 1000))} so far" if is_known else ""
    # Earlier measurements do not have the regions.
    sources = [f"{each.source} in {each.region}" for each in missing] or measurement.waiting_for
    return f"records since {since} are missing{lag}{_awaited(sources)}"


def _ahead(source: MissingSource) -> str:
    return (
        f"the clock of {source.source} in {source.region} is {span(source.ahead_ms)} ahead, "
        "so nobody can tell which of its records are missing"
    )


def _awaited(sources: Sequence[str]) -> str:
    if not sources:
        return ""
    if len(sources) == 1:
        return f": {sources[0]} holds them back"
    return f": {sources[0]} and {len(sources) - 1} more hold them back"
