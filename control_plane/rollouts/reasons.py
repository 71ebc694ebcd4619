"""Why a rollout did what it did: one short sentence for someone whom it woke up. The figures are in the verdicts."""

from collections.abc import Sequence

from control_plane.rollouts.aggregate import RolloutState
from control_plane.rollouts.endings import what_holds_back
from control_plane.rollouts.times import span
from schemas.events.rollouts import Measurement, Verdict, WhenMissing

_WITHOUT_TRAFFIC = "Aborted before it got any traffic"


def candidate_is_warm(state: RolloutState, ready_instances: int) -> str:
    """Say why the first step starts."""
    instances = "1 instance" if ready_instances == 1 else f"{ready_instances} instances"
    verb = "answers its" if ready_instances == 1 else "answer their"
    return f"Started at {_weight(state, 0)}: {instances} of the candidate {verb} golden input."


def candidate_stayed_cold(state: RolloutState, ready_instances: int) -> str:
    """Say why the rollout ends without a first step."""
    within = span(state.warm_up_timeout_ms)
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
    """Say why the next step starts, and which gates had no say in it."""
    outcome = "Promoted" if following == len(state.stages) - 1 else f"Raised to {_weight(state, following)}"
    silent = [each for each in verdicts if each.is_passed_over]
    told = _number_that_pass(len(verdicts) - len(silent), of=len(verdicts))
    without = _without(verdicts[0].without_regions)
    return f"{outcome}: {told} at {state.weight_percent:g} %{without}{_passed_over(silent)}."


def baked(measurement: Measurement, verdicts: Sequence[Verdict]) -> str:
    """Say why the rollout is over."""
    without = _without(tuple(each.region for each in measurement.excused))
    lasted = f"{span(measurement.elapsed_ms)} at 100 %{without}"
    if all(verdict.outcome == "no_data" for verdict in verdicts):
        return f"Completed after {lasted}, in which nothing was compared."
    return f"Completed: no gate failed in {lasted}."


def still_baking(measurement: Measurement, verdicts: Sequence[Verdict]) -> str:
    """Say what a bake whose time is over waits for, and what its reader can do."""
    lasted = span(measurement.lasted_ms or 0)
    late = [each.reason for each in verdicts if each.outcome == "late"]
    why = late[0] if late else _reach(measurement, into="the bake")
    return f"Still baking at 100 % after {lasted}: {why}. Promote the rollout to complete it now, or abort it."


def inconclusive(
    state: RolloutState, measurement: Measurement, verdicts: Sequence[Verdict], *, ending: WhenMissing
) -> str:
    """Say what a step that is over still waited for."""
    outcome = "Aborted" if ending == "abort" else "Paused"
    waited = f"{outcome} at {state.weight_percent:g} %: no decision in {span(state.deadline_ms)}"
    held = what_holds_back(state, verdicts)
    if not held:
        return f"{waited}; {_reach(measurement, into='the step')}."
    first = held[0].reason
    # All gates wait for the same records.
    others = _others(sum(each.reason != first for each in held), one="is open", many="are open")
    return f"{waited}; {first}{others}."


def _excess(verdict: Verdict) -> float:
    return (verdict.estimate or 0.0) - (verdict.max_difference or 0.0)


def _number_that_pass(number: int, *, of: int) -> str:
    match number:
        case 0:
            return "no gate passes"
        case 1:
            return "the gate passes" if of == 1 else "1 gate passes"
        case 2 if of == number:
            return "both gates pass"
        case _:
            return f"all {number} gates pass" if of == number else f"{number} gates pass"


def _passed_over(verdicts: Sequence[Verdict]) -> str:
    if not verdicts:
        return ""
    *names, last = (each.gate.replace("_", " ") for each in verdicts)
    listed = f"{', '.join(names)} and {last}" if names else last
    had = {"no_data": "no data", "too_little_data": "too little data"}
    outcomes = {each.outcome for each in verdicts}
    what = had[outcomes.pop()] if len(outcomes) == 1 else "no data or too little"
    return f"; {listed} had {what} and {'are' if names else 'is'} passed over as configured"


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


def _reach(measurement: Measurement, *, into: str) -> str:
    if measurement.elapsed_ms < 0:
        return f"the records end {span(-measurement.elapsed_ms)} before {into} began"
    return f"the records reach only {span(measurement.elapsed_ms)} into {into}"


def _weight(state: RolloutState, step: int) -> str:
    return f"{state.stages[step].weight_percent:g} %"
