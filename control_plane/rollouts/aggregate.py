"""The rollout as a fold of its events: which phase it is in, and what its next decision needs.

warming -> stepping <-> paused -> baking -> completed; every phase before the end may also go to aborted.
"""

import msgspec

from control_plane.ports import EventContext
from control_plane.rollouts.strategies.base import Stage
from control_plane.rollouts.strategies.table import strategy_of
from schemas.documents.rollouts import Phase
from schemas.envelope import unix_ms
from schemas.events.rollouts import (
    CandidateWarmed,
    GateCounts,
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

ACTIVE_PHASES: tuple[Phase, ...] = ("warming", "stepping", "paused", "baking")


class Rollout(msgspec.Struct, frozen=True, kw_only=True):
    """State of a rollout.

    `deadline_ms` is when, counted from the step's start, an undecided step ends. `judged` are the counts of the last
    step that was decided beside a serving baseline: what the candidate is compared with while it bakes.
    """

    id: str = ""
    workspace: str = ""
    stream_version: int = 0
    plan: RolloutStarted | None = None
    phase: Phase = "unknown"
    reason: str = ""
    started_at: str = ""
    finished_at: str | None = None
    step: int | None = None
    weight_percent: float = 0.0
    epoch: int | None = None
    step_started_at: str | None = None
    deadline_ms: int = 0
    judged_watermark_ms: int = -1
    judged: tuple[GateCounts, ...] = ()
    verdicts: tuple[Verdict, ...] = ()

    @property
    def terms(self) -> RolloutStarted:
        """What the rollout was started with; every rollout that exists has it."""
        assert self.plan is not None
        return self.plan

    @property
    def stages(self) -> tuple[Stage, ...]:
        return strategy_of(self.terms.strategy).stages()

    @property
    def alpha_per_gate(self) -> float:
        """Each gate's share of the allowed error: all gates and steps together stay within the rollout's alpha."""
        return self.terms.alpha / (len(self.stages) * len(self.terms.gates))


def evolve(state: Rollout, event: msgspec.Struct, context: EventContext) -> Rollout:
    """Fold one event; it happened, so nothing is refused here."""
    return msgspec.structs.replace(_evolved(state, event, context), stream_version=context.version)


def _evolved(state: Rollout, event: msgspec.Struct, context: EventContext) -> Rollout:  # noqa: PLR0911  one an event
    replace = msgspec.structs.replace
    match event:
        case RolloutStarted():
            return Rollout(
                id=context.stream, workspace=context.workspace, plan=event, phase="warming", started_at=context.at
            )
        case CandidateWarmed():
            return state
        case StepStarted():
            return _step_started(state, event, at=context.at)
        case StepJudged(measurement=measurement, verdicts=verdicts, reason=reason):
            is_comparison = state.phase == "stepping" and measurement.freshness == "fresh"
            return replace(
                state,
                judged_watermark_ms=measurement.watermark_ms,
                judged=measurement.counts if is_comparison else state.judged,
                verdicts=verdicts,
                reason=reason,
            )
        case RolloutPaused(reason=reason):
            return replace(state, phase="paused", reason=reason)
        case RolloutResumed(reason=reason):
            return replace(state, phase="stepping", reason=reason, deadline_ms=_extended(state, at=context.at))
        case RolloutPromoted(reason=reason):
            return replace(state, phase="baking", reason=reason)
        case RolloutCompleted(reason=reason):
            return replace(state, phase="completed", reason=reason, finished_at=context.at)
        case RolloutAborted(epoch=epoch, reason=reason):
            return replace(
                state,
                phase="aborted",
                reason=reason,
                finished_at=context.at,
                weight_percent=0.0,
                epoch=state.epoch if epoch is None else epoch,
            )
        case _:
            return state


def _step_started(state: Rollout, event: StepStarted, *, at: str) -> Rollout:
    return msgspec.structs.replace(
        state,
        phase="stepping",
        step=event.step,
        weight_percent=event.weight_percent,
        epoch=event.epoch,
        step_started_at=at,
        deadline_ms=state.stages[event.step].max_duration_ms,
        judged_watermark_ms=-1,
        reason=event.reason,
    )


def _extended(state: Rollout, *, at: str) -> int:
    """A step that is resumed gets its longest duration once more; else it would pause again at the next look."""
    if state.step is None or state.step_started_at is None:
        return state.deadline_ms
    return unix_ms(at) - unix_ms(state.step_started_at) + state.stages[state.step].max_duration_ms
