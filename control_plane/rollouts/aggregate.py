"""The rollout as a fold of its events: which phase it is in, and what its next decision needs.

warming -> stepping <-> paused -> baking -> completed; every phase before the end may also go to aborted.
"""

import msgspec
from msgspec.structs import asdict, replace

from control_plane.ports import EventContext
from control_plane.rollouts.gates.table import rule_of
from control_plane.rollouts.regions import excused_with
from control_plane.rollouts.strategies.base import Stage
from control_plane.rollouts.strategies.table import strategy_of
from schemas.documents.rollouts import Phase, Rollout
from schemas.envelope import unix_ms
from schemas.events.rollouts import (
    BakeHeld,
    GateCounts,
    RegionsExcused,
    RolloutAborted,
    RolloutCompleted,
    RolloutPaused,
    RolloutPromoted,
    RolloutResumed,
    RolloutStarted,
    StepHeld,
    StepJudged,
    StepReleased,
    StepStarted,
)

ACTIVE_PHASES: tuple[Phase, ...] = ("warming", "stepping", "paused", "baking")


class RolloutState(Rollout, frozen=True, kw_only=True):
    """A rollout that was started: its document, and what only its decisions need.

    `deadline_ms` is when, counted from the step's start, an undecided step ends. `judged` are the counts of the last
    step that was decided beside a serving baseline: what the candidate is compared with while it bakes. `is_bake_held`
    once it is recorded that the bake goes on for longer than its time.
    """

    workspace: str
    deadline_ms: int = 0
    judged_watermark_ms: int = -1
    judged_lasted_ms: int = -1
    judged: tuple[GateCounts, ...] = ()
    is_bake_held: bool = False

    @property
    def stages(self) -> tuple[Stage, ...]:
        return strategy_of(self.strategy).stages()

    @property
    def alpha_per_gate(self) -> float:
        """Each gate's share of the allowed error: all gates and steps together stay within the rollout's alpha."""
        return self.alpha / (len(self.stages) * len(self.gates))


def evolve(state: RolloutState | None, event: msgspec.Struct, context: EventContext) -> RolloutState:
    """Fold one event; it happened, so nothing is refused here. The first one starts the rollout."""
    if isinstance(event, RolloutStarted):
        return _started(event, context)
    assert state is not None, "nothing happens to a rollout before it is started"
    return replace(_evolved(state, event, at=context.at), stream_version=context.version)


def _started(event: RolloutStarted, context: EventContext) -> RolloutState:
    return RolloutState(
        id=context.stream,
        workspace=context.workspace,
        **asdict(event),
        phase="warming",
        step=None,
        weight_percent=0.0,
        epoch=None,
        verdicts=(),
        reason="",
        started_at=context.at,
        step_started_at=None,
        finished_at=None,
        stream_version=context.version,
    )


def _evolved(state: RolloutState, event: msgspec.Struct, *, at: str) -> RolloutState:  # noqa: PLR0911  one an event
    match event:
        case StepStarted():
            return _step_started(state, event, at=at)
        case StepJudged(measurement=measurement, verdicts=verdicts, reason=reason):
            is_comparison = state.phase == "stepping"
            return replace(
                state,
                judged_watermark_ms=measurement.watermark_ms,
                judged_lasted_ms=-1 if measurement.lasted_ms is None else measurement.lasted_ms,
                judged=_last_compared(state, measurement.counts) if is_comparison else state.judged,
                held_by=(),
                excused=measurement.excused,
                verdicts=verdicts,
                reason=reason,
            )
        case StepHeld() | StepReleased() | RegionsExcused():
            return _regions_changed(state, event)
        case BakeHeld(reason=reason):
            return replace(state, is_bake_held=True, reason=reason)
        case RolloutPaused(reason=reason):
            return replace(state, phase="paused", reason=reason)
        case RolloutResumed(reason=reason):
            return replace(state, phase="stepping", reason=reason, deadline_ms=_extended(state, at=at))
        case RolloutPromoted(reason=reason):
            return replace(state, phase="baking", reason=reason)
        case RolloutCompleted(reason=reason):
            return replace(state, phase="completed", reason=reason, finished_at=at)
        case RolloutAborted(epoch=epoch, reason=reason):
            return replace(
                state,
                phase="aborted",
                reason=reason,
                finished_at=at,
                weight_percent=0.0,
                epoch=state.epoch if epoch is None else epoch,
            )
        case _:
            return state


def _regions_changed(state: RolloutState, event: StepHeld | StepReleased | RegionsExcused) -> RolloutState:
    held_by = event.regions if isinstance(event, StepHeld) else ()
    excused = excused_with(state.excused, event.regions) if isinstance(event, RegionsExcused) else state.excused
    # A bake that begins late has its whole time before it.
    is_bake_held = state.is_bake_held and not isinstance(event, StepReleased)
    return replace(state, held_by=held_by, excused=excused, is_bake_held=is_bake_held, reason=event.reason)


def _last_compared(state: RolloutState, now: tuple[GateCounts, ...]) -> tuple[GateCounts, ...]:
    """Keep what each gate was last judged on beside a baseline that had enough traffic; it may be passed over without.

    Of baselines that never had enough, the one with the most is kept.
    """
    enough = {rule.kind: rule.terms().min_trials for rule in map(rule_of, state.gates)}
    kept = {each.gate: each for each in state.judged}
    for each in now:
        known = kept[each.gate].baseline.trials if each.gate in kept else 0
        if each.baseline.trials >= min(enough.get(each.gate, 1), max(known, 1)):
            kept[each.gate] = each
    return tuple(kept.values())


def _step_started(state: RolloutState, event: StepStarted, *, at: str) -> RolloutState:
    return replace(
        state,
        phase="stepping",
        step=event.step,
        weight_percent=event.weight_percent,
        epoch=event.epoch,
        step_started_at=at,
        deadline_ms=state.stages[event.step].max_duration_ms,
        judged_watermark_ms=-1,
        judged_lasted_ms=-1,
        held_by=(),
        reason=event.reason,
    )


def _extended(state: RolloutState, *, at: str) -> int:
    """A step that is resumed gets its longest duration once more; else it would pause again at the next look.

    That it does even if the clock was put back meanwhile.
    """
    if state.step is None or state.step_started_at is None:
        return state.deadline_ms
    max_duration_ms = state.stages[state.step].max_duration_ms
    since_start_ms = unix_ms(at) - unix_ms(state.step_started_at)
    return max(since_start_ms + max_duration_ms, state.judged_lasted_ms + max_duration_ms, state.deadline_ms)
