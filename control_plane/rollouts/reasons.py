"""Why a rollout did what it did: one short sentence for someone whom it woke up. The figures are in the verdicts."""

from collections.abc import Sequence

from control_plane.rollouts.aggregate import RolloutState
from schemas.events.rollouts import Measurement, Outcome, Verdict

_WITHOUT_TRAFFIC = "Aborted before it got any traffic"
# What explains most comes first.
_OPEN: tuple[Outcome, ...] = ("late", "no_data", "too_little_data", "undecided")
_SPANS = ((48 * 3_600_000, "days", 24 * 3_600_000), (120 * 60_000, "h", 3_600_000), (120_000, "min", 60_000))


def candidate_is_warm(state: RolloutState, ready_instances: int) -> str:
    """Say why the first step starts."""
    instances = "1 instance" if ready_instances == 1 else f"{ready_instances} instances"
    verb = "answers its" if ready_instances == 1 else "answer their"
    return f"Started at {_weight(state, 0)}: {instances} of the candidate {verb} golden input."


def candidate_stayed_cold(state: RolloutState, ready_instances: int) -> str:
    """Say why the rollout ends without a first step."""
    within = _span(state.warm_up_timeout_ms)
    return f"{_WITHOUT_TRAFFIC}: {ready_instances} of {state.replicas} instances were ready within {within}."


def candidate_cannot_serve(failure: str) -> str:
    """Say why waiting for instances is of no use."""
    return f"{_WITHOUT_TRAFFIC}: the candidate cannot serve. {failure}"


def gates_failed(state: RolloutState, verdicts: Sequence[Verdict]) -> str:
    """Name the gate that is farthest beyond its limit, and count the others."""
    where = "while baking at" if state.phase == "baking" else "at"
    failed = [each for each in verdicts if each.outcome == "fail"]
    worst = max(failed, key=_excess)
    others = _others(len(failed) - 1, one="failed", many="failed")
    return f"Aborted {where} {state.weight_percent:g} %: {worst.reason}{others}."


def gates_pass(state: RolloutState, verdicts: Sequence[Verdict], *, following: int) -> str:
    """Say why the next step starts."""
    is_last = following == len(state.stages) - 1
    outcome = "Promoted" if is_last else f"Raised to {_weight(state, following)}"
    return f"{outcome}: {_all(len(verdicts))} at {state.weight_percent:g} %{_without(verdicts[0].without_regions)}."


def baked(measurement: Measurement) -> str:
    """Say why the rollout is over."""
    without = _without(tuple(each.region for each in measurement.excused))
    return f"Completed: no gate failed in {_span(measurement.elapsed_ms)} at 100 %{without}."


def inconclusive(state: RolloutState, measurement: Measurement, verdicts: Sequence[Verdict]) -> str:
    """Say what a step that is over still waited for."""
    outcome = "Aborted" if state.when_inconclusive == "abort" else "Paused"
    waited = f"{outcome} at {state.weight_percent:g} %: no decision in {_span(state.deadline_ms)}"
    still_open = sorted((each for each in verdicts if each.outcome in _OPEN), key=_rank)
    if not still_open:
        return f"{waited}; the records reach only {_span(measurement.elapsed_ms)} into the step."
    first = still_open[0].reason
    # All gates wait for the same records.
    others = _others(sum(each.reason != first for each in still_open), one="is open", many="are open")
    return f"{waited}; {first}{others}."


def _rank(verdict: Verdict) -> int:
    return _OPEN.index(verdict.outcome)


def _excess(verdict: Verdict) -> float:
    return (verdict.estimate or 0.0) - (verdict.max_difference or 0.0)


def _all(gates: int) -> str:
    match gates:
        case 1:
            return "the gate passes"
        case 2:
            return "both gates pass"
        case _:
            return f"all {gates} gates pass"


def _others(number: int, *, one: str, many: str) -> str:
    match number:
        case 0:
            return ""
        case 1:
            return f", and 1 more gate {one}"
        case _:
            return f", and {number} more gates {many}"


def _without(regions: Sequence[str]) -> str:
    return f", without {' and '.join(regions)}" if regions else ""


def _weight(state: RolloutState, step: int) -> str:
    return f"{state.stages[step].weight_percent:g} %"


def _span(duration_ms: int) -> str:
    for least_ms, unit, unit_ms in _SPANS:
        if duration_ms >= least_ms:
            return f"{duration_ms / unit_ms:.3g} {unit}"
    return f"{duration_ms / 1000:.3g} s"
