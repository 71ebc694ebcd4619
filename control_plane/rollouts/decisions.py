"""What follows from a command in each phase of a rollout: one function a phase, from state and command to events.

`next_epoch` is the stream version that the endpoint's next traffic event will have: the traffic of a decision is set
in the same transaction, so the decision may name it.
"""

from collections.abc import Callable
from typing import Literal

import msgspec

from control_plane.endpoints.aggregate import Endpoint
from control_plane.rollouts import errors, reasons
from control_plane.rollouts.aggregate import RolloutState
from control_plane.rollouts.commands import (
    AbortRollout,
    Command,
    JudgeStep,
    PauseRollout,
    PromoteRollout,
    ReportWarmUp,
    ResumeRollout,
    StartRollout,
)
from control_plane.rollouts.endings import ending_of, passed_over, strictest
from control_plane.rollouts.policies import (
    has_lasted,
    is_at_its_end,
    is_held_bake,
    is_late,
    only_a_sound_plan_may_start,
    verdicts_on,
    with_caller_errors,
)
from control_plane.rollouts.regions import released, what_regions_do
from control_plane.rollouts.strategies.table import strategy_of
from schemas.documents.rollouts import Phase
from schemas.events.endpoints import DeploymentAdded
from schemas.events.rollouts import (
    BakeHeld,
    CandidateWarmed,
    Measurement,
    RolloutAborted,
    RolloutCompleted,
    RolloutPaused,
    RolloutPromoted,
    RolloutResumed,
    RolloutStarted,
    StepJudged,
    StepStarted,
    Verdict,
)

Verb = Literal["none", "advance", "promote", "complete", "abort", "pause"]
_Judged = Literal["advance", "promote", "complete", "abort", "pause"]


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """The events of a decision, and for a measurement what was concluded, also where nothing is to be written."""

    events: tuple[msgspec.Struct, ...] = ()
    verb: Verb = "none"
    verdicts: tuple[Verdict, ...] = ()


_NOTHING = Decision()


def start(
    command: StartRollout, *, endpoint: Endpoint, candidate: DeploymentAdded, baseline: DeploymentAdded
) -> Decision:
    """Start a sound plan: the candidate, which has as many replicas as asked for in each region of the baseline."""
    only_a_sound_plan_may_start(command)
    started = RolloutStarted(
        endpoint_id=endpoint.id,
        endpoint_name=endpoint.name,
        candidate_deployment_id=candidate.deployment_id,
        candidate=candidate.version,
        baseline_deployment_id=baseline.deployment_id,
        baseline=baseline.version,
        replicas=command.replicas * max(1, len(endpoint.deployments.regions_of(baseline.deployment_id))),
        strategy=command.strategy,
        gates=with_caller_errors(command.gates, assigned_by=endpoint.assigned_by),
        allow_signature_change=command.allow_signature_change,
        alpha=command.alpha,
        when_inconclusive=command.when_inconclusive,
        warm_up_timeout_ms=command.warm_up_timeout_ms,
        max_lag_ms=command.max_lag_ms,
        when_region_away=command.when_region_away,
        region_grace_ms=command.region_grace_ms,
        when_late=command.when_late,
        when_no_data=command.when_no_data,
        when_too_little_data=command.when_too_little_data,
    )
    return Decision(events=(started,))


def decide(state: RolloutState, command: Command, *, next_epoch: int) -> Decision:
    """Decide by the phase that the rollout is in."""
    return _DECIDE[state.phase](state, command, next_epoch)


def _decide_warming(state: RolloutState, command: Command, next_epoch: int) -> Decision:
    match command:
        case ReportWarmUp(failure=str(failure)):
            return _abort(state, reasons.candidate_cannot_serve(failure), next_epoch)
        case ReportWarmUp(ready_instances=ready) if ready >= state.replicas:
            warmed = CandidateWarmed(ready_instances=ready)
            return Decision(events=(warmed, _step(state, 0, reasons.candidate_is_warm(state, ready), next_epoch)))
        case ReportWarmUp(ready_instances=ready) if command.elapsed_ms >= state.warm_up_timeout_ms:
            return _abort(state, reasons.candidate_stayed_cold(state, ready), next_epoch)
        case AbortRollout(reason=reason):
            return _abort(state, reason, next_epoch)
        case PauseRollout() | ResumeRollout() | PromoteRollout():
            raise _wrong_phase(state, command, remedy="wait until the candidate is warm, or abort the rollout")
        case _:
            return _NOTHING


def _decide_stepping(state: RolloutState, command: Command, next_epoch: int) -> Decision:
    match command:
        case JudgeStep(measurement=measurement) if _is_new_evidence(state, measurement):
            return _after_release(state, measurement, _judge_beside_baseline(state, measurement, next_epoch))
        case PauseRollout(reason=reason):
            return Decision(events=(RolloutPaused(step=state.step, reason=reason),))
        case PromoteRollout(reason=reason):
            return Decision(events=_promotion(state, reason, next_epoch))
        case AbortRollout(reason=reason):
            return _abort(state, reason, next_epoch)
        case _:
            return _NOTHING


def _decide_paused(state: RolloutState, command: Command, next_epoch: int) -> Decision:
    match command:
        case JudgeStep(measurement=measurement) if _is_new_evidence(state, measurement):
            return _judge_paused(state, measurement, next_epoch)
        case ResumeRollout(reason=reason):
            return Decision(events=(RolloutResumed(step=state.step, reason=reason),))
        case PromoteRollout(reason=reason):
            return Decision(events=_promotion(state, reason, next_epoch))
        case AbortRollout(reason=reason):
            return _abort(state, reason, next_epoch)
        case _:
            return _NOTHING


def _decide_baking(state: RolloutState, command: Command, next_epoch: int) -> Decision:
    match command:
        case JudgeStep(measurement=measurement) if _is_new_evidence(state, measurement):
            return _after_release(state, measurement, _judge_baking(state, measurement, next_epoch))
        # A promotion that is sent twice skips nothing: only a bake that waits beyond its time is ended by hand.
        case PromoteRollout(reason=reason) if state.is_bake_held:
            return Decision(events=(RolloutCompleted(reason=reason),))
        case AbortRollout(reason=reason):
            return _abort(state, reason, next_epoch)
        case PauseRollout() | ResumeRollout():
            raise _wrong_phase(state, command, remedy="wait for the bake time to end, or abort the rollout")
        case _:
            return _NOTHING


def _decide_finished(state: RolloutState, command: Command, _next_epoch: int) -> Decision:
    """A worker that comes late is not wrong; a person who repeats what is so already changes nothing."""
    match command, state.phase:
        case (ReportWarmUp() | JudgeStep(), _) | (AbortRollout(), "aborted") | (PromoteRollout(), "completed"):
            return _NOTHING
        case _:
            raise errors.RolloutFinishedError(
                f"{state.id} is {state.phase}, so you cannot {_verb(command)} it",
                remedy="start another rollout, or roll the endpoint back",
            )


_DECIDE: dict[Phase, Callable[[RolloutState, Command, int], Decision]] = {
    "warming": _decide_warming,
    "stepping": _decide_stepping,
    "paused": _decide_paused,
    "baking": _decide_baking,
    "completed": _decide_finished,
    "aborted": _decide_finished,
}


def _after_release(state: RolloutState, measurement: Measurement, decision: Decision) -> Decision:
    """Record that a held step has begun before what was decided on it; a look that decides nothing does so itself."""
    if decision.verb == "none":
        return decision
    return msgspec.structs.replace(decision, events=(*released(state, measurement), *decision.events))


def _judge_beside_baseline(state: RolloutState, measurement: Measurement, next_epoch: int) -> Decision:
    verdicts = verdicts_on(state, measurement)
    if not measurement.has_begun:
        return _judge_unbegun(state, measurement, verdicts, next_epoch)
    if _has_failed(verdicts):
        return _failed(state, measurement, verdicts, next_epoch)
    if _has_lasted(state, measurement) and all(verdict.outcome == "pass" for verdict in verdicts):
        return _passed(state, measurement, verdicts, next_epoch)
    if is_at_its_end(state, measurement):
        return _ended(state, measurement, verdicts, next_epoch)
    return _waiting(state, measurement, verdicts)


def _judge_paused(state: RolloutState, measurement: Measurement, next_epoch: int) -> Decision:
    """Let a gate fail while callers still get the candidate's answers; only a person lets the rollout go on."""
    verdicts = verdicts_on(state, measurement)
    if _has_failed(verdicts):
        return _failed(state, measurement, verdicts, next_epoch)
    return Decision(verdicts=verdicts)


def _judge_unbegun(
    state: RolloutState, measurement: Measurement, verdicts: tuple[Verdict, ...], next_epoch: int
) -> Decision:
    """Let a gate fail where the candidate serves already, and nothing pass.

    A step that never begins ends like one that is never decided; baking has no end of its own.
    """
    if _has_failed(verdicts):
        return _failed(state, measurement, verdicts, next_epoch)
    if state.phase == "stepping" and is_at_its_end(state, measurement):
        return _ended(state, measurement, verdicts, next_epoch)
    return _waiting(state, measurement, verdicts)


def _has_lasted(state: RolloutState, measurement: Measurement) -> bool:
    return has_lasted(measurement, state.stages[measurement.step].min_duration_ms)


def _passed(state: RolloutState, measurement: Measurement, verdicts: tuple[Verdict, ...], next_epoch: int) -> Decision:
    following = measurement.step + 1
    reason = reasons.gates_pass(state, verdicts, following=following)
    if following == len(state.stages) - 1:
        return _judged(measurement, verdicts, "promote", reason, _promotion(state, reason, next_epoch))
    return _judged(measurement, verdicts, "advance", reason, (_step(state, following, reason, next_epoch),))


def _ended(state: RolloutState, measurement: Measurement, verdicts: tuple[Verdict, ...], next_epoch: int) -> Decision:
    """End a step that is undecided after its longest duration, as its plan says."""
    endings = [ending_of(state, verdict) for verdict in verdicts]
    if not _has_lasted(state, measurement):
        # Its records are late, whatever the gates made of them.
        endings.append(state.when_late or state.when_inconclusive)
    ending = strictest(endings)
    if ending == "pass":
        return _passed(state, measurement, tuple(map(passed_over, verdicts)), next_epoch)
    reason = reasons.inconclusive(state, measurement, verdicts, ending=ending)
    if ending == "abort":
        return _judged(measurement, verdicts, "abort", reason, _abort(state, reason, next_epoch).events)
    return _judged(measurement, verdicts, "pause", reason, (RolloutPaused(step=state.step, reason=reason),))


def _judge_baking(state: RolloutState, measurement: Measurement, next_epoch: int) -> Decision:
    verdicts = verdicts_on(state, measurement)
    if not measurement.has_begun:
        return _judge_unbegun(state, measurement, verdicts, next_epoch)
    if _has_failed(verdicts):
        return _failed(state, measurement, verdicts, next_epoch)
    bake_time_ms = strategy_of(state.strategy).bake_time_ms()
    if not is_late(state, measurement) and has_lasted(measurement, bake_time_ms):
        reason = reasons.baked(measurement, verdicts)
        return _judged(measurement, verdicts, "complete", reason, (RolloutCompleted(reason=reason),))
    return _waiting(state, measurement, verdicts)


def _waiting(state: RolloutState, measurement: Measurement, verdicts: tuple[Verdict, ...]) -> Decision:
    """Decide nothing, and record what regions do, and that a bake takes longer than it should."""
    events = what_regions_do(state, measurement)
    if not events and is_held_bake(state, measurement):
        events = (BakeHeld(measurement=measurement, reason=reasons.still_baking(measurement, verdicts)),)
    return Decision(events=events, verdicts=verdicts)


def _has_failed(verdicts: tuple[Verdict, ...]) -> bool:
    return any(verdict.outcome == "fail" for verdict in verdicts)


def _failed(state: RolloutState, measurement: Measurement, verdicts: tuple[Verdict, ...], next_epoch: int) -> Decision:
    reason = reasons.gates_failed(state, verdicts)
    return _judged(measurement, verdicts, "abort", reason, _abort(state, reason, next_epoch).events)


def _judged(
    measurement: Measurement,
    verdicts: tuple[Verdict, ...],
    verb: _Judged,
    reason: str,
    consequence: tuple[msgspec.Struct, ...],
) -> Decision:
    judged = StepJudged(measurement=measurement, verdicts=verdicts, decision=verb, reason=reason)
    return Decision(events=(judged, *consequence), verb=verb, verdicts=verdicts)


def _step(state: RolloutState, step: int, reason: str, epoch: int) -> StepStarted:
    return StepStarted(step=step, weight_percent=state.stages[step].weight_percent, epoch=epoch, reason=reason)


def _promotion(state: RolloutState, reason: str, epoch: int) -> tuple[msgspec.Struct, ...]:
    return (_step(state, len(state.stages) - 1, reason, epoch), RolloutPromoted(epoch=epoch, reason=reason))


def _abort(state: RolloutState, reason: str, next_epoch: int) -> Decision:
    epoch = None if state.step is None else next_epoch
    return Decision(events=(RolloutAborted(step=state.step, epoch=epoch, reason=reason),))


def _is_new_evidence(state: RolloutState, measurement: Measurement) -> bool:
    """A measurement of another step or epoch, or not newer than the one that was judged, says nothing.

    A watermark may stand where it stood, with a late view or a clock that was put back: what is new then is the time
    that has passed, which can end a resumed step too.
    """
    is_later = measurement.lasted_ms is not None and measurement.lasted_ms > state.judged_lasted_ms
    is_newer = measurement.watermark_ms > state.judged_watermark_ms or is_later or measurement.freshness == "late"
    return is_newer and (measurement.step, measurement.epoch) == (state.step, state.epoch)


def _wrong_phase(state: RolloutState, command: Command, *, remedy: str) -> errors.WrongPhaseError:
    return errors.WrongPhaseError(f"{state.id} is {state.phase}, so you cannot {_verb(command)} it", remedy=remedy)


def _verb(command: Command) -> str:
    return type(command).__name__.removesuffix("Rollout").lower()
