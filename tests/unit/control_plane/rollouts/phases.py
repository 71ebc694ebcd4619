"""A rollout in each of its phases."""

import msgspec

from control_plane.rollouts.aggregate import RolloutState
from control_plane.rollouts.commands import Command
from control_plane.rollouts.decisions import decide
from control_plane.rollouts.resources import ROLLOUTS
from schemas.events.rollouts import (
    CandidateWarmed,
    RolloutAborted,
    RolloutCompleted,
    RolloutPaused,
    RolloutPromoted,
    StepJudged,
    StepStarted,
)
from tests.support.builders import HEALTHY, measurement, rollout_started
from tests.support.spec import BEGAN_MS, Given

WARMED = CandidateWarmed(ready_instances=1)
STEP_0 = StepStarted(step=0, weight_percent=5.0, epoch=5, reason="warm")
PAUSED = RolloutPaused(step=0, reason="wait")
STEP_3 = StepStarted(step=3, weight_percent=100.0, epoch=8, reason="good")
PROMOTED = RolloutPromoted(epoch=8, reason="good")
JUDGED = StepJudged(
    measurement=measurement(counts=HEALTHY, watermark_ms=BEGAN_MS), verdicts=(), decision="promote", reason="good"
)
STARTED = rollout_started()
PAST: dict[str, tuple[msgspec.Struct, ...]] = {
    "warming": (STARTED,),
    "stepping": (STARTED, WARMED, STEP_0),
    "paused": (STARTED, WARMED, STEP_0, PAUSED),
    "baking": (STARTED, WARMED, STEP_0, JUDGED, STEP_3, PROMOTED),
    "completed": (STARTED, WARMED, STEP_0, JUDGED, STEP_3, PROMOTED, RolloutCompleted(reason="done")),
    "aborted": (STARTED, WARMED, STEP_0, RolloutAborted(step=0, epoch=6, reason="bad")),
}


def given(phase: str, *events: msgspec.Struct) -> Given[RolloutState | None]:
    """Begin with a rollout in a phase, after more events."""
    return Given(ROLLOUTS, *PAST[phase], *events, stream="rollout-1")


def decided(state: RolloutState | None, command: Command) -> list[msgspec.Struct]:
    """Return the events that a command leads to."""
    assert state is not None
    return list(decide(state, command, next_epoch=9).events)
