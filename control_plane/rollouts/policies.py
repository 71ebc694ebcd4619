"""The rules on starting a rollout, and how a measurement becomes verdicts."""

from collections.abc import Mapping

import msgspec

from control_plane.endpoints.aggregate import Endpoint
from control_plane.endpoints.deployments.commands import DeployableVersion
from control_plane.rollouts import errors
from control_plane.rollouts.aggregate import RolloutState
from control_plane.rollouts.commands import StartRollout
from control_plane.rollouts.gates.base import GateRule, Problem
from control_plane.rollouts.gates.comparison import compare, late, without_baseline
from control_plane.rollouts.gates.table import rule_of
from control_plane.rollouts.signatures import changed_answer, unaccepted_input
from control_plane.rollouts.strategies.table import strategy_of
from schemas.events.endpoints import DEFAULT_KEY, AssignmentKey, DeploymentAdded, VersionReference
from schemas.events.registry import ArtifactFormat
from schemas.events.rollouts import (
    CallerErrorRateGate,
    Counts,
    ErrorRateGate,
    Gate,
    GateCounts,
    Measurement,
    QualityGate,
    Verdict,
)

_WHOLE = 100.0
_MIN_ALPHA = 1e-6
_MAX_ALPHA = 0.5
_MAX_WARM_UP_MS = 24 * 60 * 60 * 1000
_MIN_LAG_MS = 1_000
_MAX_LAG_MS = 60 * 60 * 1000
_MIN_GRACE_MS, _MAX_GRACE_MS = 1_000, 24 * 60 * 60 * 1000
_WITHOUT_NAMED_INPUTS: frozenset[ArtifactFormat] = frozenset({"transformers", "lora", "external"})
_NOTHING = Counts(trials=0, bad=0)


def only_one_rollout_may_own_an_endpoint(endpoint: Endpoint) -> None:
    """Refuse while another rollout is active."""
    if endpoint.traffic.owner is not None:
        raise errors.RolloutActiveError(
            f"{endpoint.traffic.owner} is active on endpoint {endpoint.name}",
            field="endpoint",
            remedy="wait until it is over, or abort it",
        )


def baseline_for(endpoint: Endpoint, candidate: VersionReference, *, ready: Mapping[str, int]) -> DeploymentAdded:
    """Return the one deployment that serves the endpoint and that the candidate is to replace."""
    allocations = endpoint.traffic.allocations
    serving = [each for each in allocations if each.weight_percent == _WHOLE]
    baseline = endpoint.deployments.find(serving[0].deployment_id) if serving else None
    if baseline is None:
        found = f"is split among {len(allocations)} deployments" if allocations else "is unserved"
        raise errors.NoBaselineError(
            f"the traffic of endpoint {endpoint.name} {found}, so there is no single baseline",
            field="endpoint",
            remedy="set the traffic so that one deployment serves 100 %, then start the rollout",
        )
    if baseline.version.version_id == candidate.version_id:
        raise errors.VersionAlreadyLiveError(
            f"version {candidate.model_name}/{candidate.number} already serves 100 % of endpoint {endpoint.name}",
            field="version",
            remedy="roll out another version",
        )
    if not ready.get(baseline.deployment_id):
        raise errors.BaselineNotReadyError(
            f"no instance of {baseline.deployment_id}, which serves endpoint {endpoint.name}, is ready",
            field="endpoint",
            remedy=(
                "a rollout compares with a version that answers; wait until the endpoint shows its state as ready, or, "
                f"if it never will, deploy {candidate.model_name}/{candidate.number} beside it and set the traffic "
                "to that deployment"
            ),
        )
    return baseline


def only_a_sound_plan_may_start(command: StartRollout) -> None:
    """Refuse the first parameter that makes no sense, by its place in the request."""
    problems = [
        *(_placed("strategy", problem) for problem in strategy_of(command.strategy).problems()),
        *_gate_problems([rule_of(gate) for gate in command.gates]),
        *_limit_problems(command),
    ]
    if problems:
        first = problems[0]
        raise errors.InvalidRolloutError(first.detail, field=first.field, remedy=first.remedy)


def with_caller_errors(gates: tuple[Gate, ...], *, assigned_by: AssignmentKey) -> tuple[Gate, ...]:
    """Add the gate on caller errors to a plan that limits errors, unless it has one.

    Without it, a candidate that refuses what callers send would have no errors at all. Where the endpoint keeps each
    caller on one version, few callers make most of the mistakes of an arm, and the plan has to ask for the gate.
    """
    if assigned_by != DEFAULT_KEY or any(isinstance(gate, CallerErrorRateGate) for gate in gates):
        return gates
    return tuple(implied for gate in gates for implied in _with_caller_errors(gate))


def _with_caller_errors(gate: Gate) -> tuple[Gate, ...]:
    match gate:
        case ErrorRateGate(max_increase=max_increase, min_requests=min_requests):
            return (gate, CallerErrorRateGate(max_increase=max_increase, min_requests=min_requests))
        case _:
            return (gate,)


def signatures_must_go_together(
    command: StartRollout, *, candidate: DeployableVersion, baseline: DeployableVersion
) -> None:
    """Refuse a candidate that would refuse what callers send to the baseline, or that labels cannot compare with it.

    Nothing is known of it where callers do not name inputs, as with language models and servers of others.
    """
    formats = {candidate.artifact.format, baseline.artifact.format}
    if command.allow_signature_change or formats & _WITHOUT_NAMED_INPUTS:
        return
    has_labels = any(isinstance(gate, QualityGate) for gate in command.gates)
    changed = changed_answer(candidate.signature, baseline.signature) if has_labels else None
    if changed is not None:
        raise errors.SignatureChangedError(
            f"the same labels mean something else for version {command.version}: {changed}",
            field="version",
            remedy="roll out a version with the same first output, leave out the quality gate, or set "
            "allow_signature_change, which is recorded",
        )
    reason = unaccepted_input(candidate.signature, baseline.signature)
    if reason is not None:
        raise errors.SignatureChangedError(
            f"version {command.version} does not accept what callers of endpoint {command.endpoint} send: {reason}",
            field="version",
            remedy="roll out a version with the same inputs, or set allow_signature_change, which is recorded",
        )


def is_late(rollout: RolloutState, measurement: Measurement) -> bool:
    """Return whether too many records are missing for a gate to pass."""
    if measurement.freshness == "fresh":
        return False
    # A judge of an earlier release does not say how late a view is.
    is_behind = measurement.lag_ms is None or measurement.lag_ms > rollout.max_lag_ms
    return is_behind or not measurement.counts


def has_lasted(measurement: Measurement, duration_ms: int) -> bool:
    """Return whether a step has lasted so long that it may pass: by the records, and by a clock that nobody sets.

    A gateway whose clock is put forward has records of the time to come.
    """
    lasted_ms = measurement.elapsed_ms if measurement.lasted_ms is None else measurement.lasted_ms
    return min(measurement.elapsed_ms, lasted_ms) >= duration_ms


def is_at_its_end(rollout: RolloutState, measurement: Measurement) -> bool:
    """Return whether an undecided step is to end; that a view stands still does not make a step longer.

    Records that keep coming are waited for as long as they may lag: at the end of a step, its newest are on their way.
    """
    deadline_ms = rollout.deadline_ms
    if measurement.lasted_ms is None:
        lag_ms = (measurement.lag_ms or 0) if measurement.freshness == "late" else 0
        return measurement.elapsed_ms + lag_ms >= deadline_ms
    if not measurement.has_begun or is_late(rollout, measurement) or measurement.elapsed_ms >= deadline_ms:
        return measurement.lasted_ms >= deadline_ms
    return measurement.lasted_ms >= deadline_ms + rollout.max_lag_ms


def is_held_bake(rollout: RolloutState, measurement: Measurement) -> bool:
    """Return whether it is to be recorded that a bake waits, though its time and all that may be late are over."""
    if rollout.phase != "baking" or rollout.is_bake_held or measurement.lasted_ms is None:
        return False
    grace_ms = max(rollout.region_grace_ms, rollout.max_lag_ms)
    return measurement.lasted_ms >= strategy_of(rollout.strategy).bake_time_ms() + grace_ms


def verdicts_on(rollout: RolloutState, measurement: Measurement) -> tuple[Verdict, ...]:
    """Ask each gate.

    What is there is complete up to the watermark. So a late view can fail a gate, and cannot let one pass, and neither
    can a step that some region does not serve yet. A verdict names the regions that it is without.
    """
    verdicts = _verdicts_on(rollout, measurement)
    if not measurement.excused:
        return verdicts
    without = tuple(each.region for each in measurement.excused)
    return tuple(msgspec.structs.replace(verdict, without_regions=without) for verdict in verdicts)


def _verdicts_on(rollout: RolloutState, measurement: Measurement) -> tuple[Verdict, ...]:
    if measurement.has_begun and not is_late(rollout, measurement):
        return _verdicts_by_counts(rollout, measurement)
    verdicts = _verdicts_by_counts(rollout, measurement) if measurement.counts else ()
    failed = {verdict.gate: verdict for verdict in verdicts if verdict.outcome == "fail"}
    counted = {each.gate: each for each in measurement.counts}
    return tuple(
        failed.get(rule.kind) or late(rule.terms(), measurement, counted.get(rule.kind), alpha=rollout.alpha_per_gate)
        for rule in map(rule_of, rollout.gates)
    )


def _verdicts_by_counts(rollout: RolloutState, measurement: Measurement) -> tuple[Verdict, ...]:
    """Ask each gate about what was counted.

    While baking there is no baseline beside the candidate: the gates that compare over time are asked about that of the
    last step which had one, the others are silent.
    """
    measured = {each.gate: each for each in measurement.counts}
    kept = {each.gate: each.baseline for each in rollout.judged}
    since_ms = measurement.watermark_ms - measurement.elapsed_ms
    verdicts = []
    for rule in map(rule_of, rollout.gates):
        counts = _counts_of(rule, measured)
        if rollout.phase == "baking":
            if not rule.compares_over_time:
                continue
            counts = msgspec.structs.replace(counts, baseline=kept.get(rule.kind, _NOTHING))
            if not counts.baseline.trials:
                verdicts.append(without_baseline(rule.terms(), counts, alpha=rollout.alpha_per_gate))
                continue
        verdicts.append(compare(rule.terms(), counts, alpha=rollout.alpha_per_gate, since_ms=since_ms))
    return tuple(verdicts)


def _counts_of(rule: GateRule, measured: dict[str, GateCounts]) -> GateCounts:
    counts = measured.get(rule.kind)
    if counts is None:
        raise errors.InvalidMeasurementError(
            f"the counts of gate {rule.kind} are missing", field="counts", remedy="send the counts of every gate"
        )
    for side in (counts.candidate, counts.baseline):
        if not 0 <= side.bad <= side.trials:
            raise errors.InvalidMeasurementError(
                f"gate {rule.kind} cannot have {side.bad} bad out of {side.trials} trials",
                field="counts",
                remedy="send a bad count from 0 to trials",
            )
    return counts


def _gate_problems(rules: list[GateRule]) -> list[Problem]:
    if not rules:
        remedy = "add a gate; to shift traffic without gates, set the endpoint's traffic"
        return [Problem("gates", "a rollout needs at least one gate", remedy)]
    kinds = [rule.kind for rule in rules]
    twice = [
        Problem(f"gates[{index}]", f"there are two gates of kind {kind}", "keep one gate of each kind")
        for index, kind in enumerate(kinds)
        if kind in kinds[:index]
    ]
    return twice + [_placed(f"gates[{index}]", each) for index, rule in enumerate(rules) for each in rule.problems()]


def _limit_problems(command: StartRollout) -> list[Problem]:
    problems = []
    if not _MIN_ALPHA <= command.alpha <= _MAX_ALPHA:
        detail = f"{command.alpha:g} is not a valid error probability"
        problems.append(Problem("alpha", detail, f"give {_MIN_ALPHA:g} to {_MAX_ALPHA}, such as 0.05"))
    if not 1 <= command.warm_up_timeout_ms <= _MAX_WARM_UP_MS:
        detail = f"{command.warm_up_timeout_ms} ms is not a valid warm-up timeout"
        problems.append(Problem("warm_up_timeout_ms", detail, f"give 1 to {_MAX_WARM_UP_MS}"))
    if not _MIN_LAG_MS <= command.max_lag_ms <= _MAX_LAG_MS:
        detail = f"{command.max_lag_ms} ms is not a valid limit for the lag"
        problems.append(Problem("max_lag_ms", detail, f"give {_MIN_LAG_MS} to {_MAX_LAG_MS}, such as 30000"))
    if not _MIN_GRACE_MS <= command.region_grace_ms <= _MAX_GRACE_MS:
        detail = f"{command.region_grace_ms} ms is not a valid time for a region to take"
        problems.append(Problem("region_grace_ms", detail, f"give {_MIN_GRACE_MS} to {_MAX_GRACE_MS}, such as 60000"))
    return problems


def _placed(place: str, problem: Problem) -> Problem:
    return Problem(f"{place}.{problem.field}", problem.detail, problem.remedy)
