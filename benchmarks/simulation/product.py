"""A simulated rollout through the product's own code: the judge's measurements, and the decisions on them.

Between two looks that may decide something nothing is asked: a decision without events leaves the rollout as it was.
"""

from collections.abc import Iterator
from functools import cache

import msgspec

from benchmarks.simulation.kinds import ALPHA, PLANS, Kind
from benchmarks.simulation.traffic import BASELINE, CANDIDATE, Rollout, StepTraffic
from benchmarks.simulation.undecided import looks_to_ask
from control_plane.endpoints.aggregate import NO_ENDPOINT
from control_plane.ports import EventContext
from control_plane.rollouts.aggregate import RolloutState, evolve
from control_plane.rollouts.commands import JudgeStep, ReportWarmUp, StartRollout
from control_plane.rollouts.decisions import Decision, decide, start
from schemas.documents.rollouts import Phase
from schemas.envelope import rfc3339
from schemas.events.endpoints import DEFAULT_KEY, AssignmentKey, DeploymentAdded, VersionReference
from schemas.events.registry import Artifact, Signature
from schemas.events.rollouts import Measurement
from schemas.measurement import Measured
from workers.rollout_judge.looks import measurement_of
from workers.rollout_judge.state import Watched

_BEGAN_MS = 1_700_000_000_000
_LAG_MS = 1_000
_LOOKS_AT_ONCE = 150
_JUDGED = ("stepping", "baking")


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """How a rollout went: how many looks each step took, and what the candidate answered in all of them."""

    phase: Phase
    failed: tuple[str, ...]
    looks: tuple[int, ...]
    answered: int
    reason: str


def run(rollout: Rollout, *, asks_always: bool = False) -> Ended:
    """Let the product decide on a rollout until it is over, or waits for a person."""
    state = _warmed(rollout.kind)
    looks: list[int] = []
    answered, now_ms, decision = 0, _BEGAN_MS, Decision()
    while state.phase in _JUDGED:
        traffic = traffic_of(rollout, state)
        look, decision = _decided(state, traffic, now_ms, asks_always=asks_always)
        looks.append(look)
        answered += traffic.arm(CANDIDATE, look).requests
        now_ms += look * traffic.look_ms
        state = _evolved(state, decision, at_ms=now_ms)
    failed = tuple(verdict.gate for verdict in decision.verdicts if verdict.outcome == "fail")
    return Ended(phase=state.phase, failed=failed, looks=tuple(looks), answered=answered, reason=state.reason)


def traffic_of(rollout: Rollout, state: RolloutState) -> StepTraffic:
    """Return the traffic of the step that a rollout is in."""
    assert state.step is not None, "a rollout that has traffic is in a step"
    return rollout.step(state.step, weight=state.weight_percent / 100)


def _decided(state: RolloutState, traffic: StepTraffic, applied_ms: int, *, asks_always: bool) -> tuple[int, Decision]:
    """Return the look that decided the step, and the decision."""
    for look in _asked(state, traffic, asks_always=asks_always):
        command = JudgeStep(measurement=_measured(state, traffic, look, applied_ms))
        decision = decide(state, command, next_epoch=state.stream_version)
        if decision.events:
            return look, decision
    raise AssertionError("a step ends with its longest duration")


def _asked(state: RolloutState, traffic: StepTraffic, *, asks_always: bool) -> Iterator[int]:
    first = 1
    while True:
        last = first + _LOOKS_AT_ONCE - 1
        traffic.reach(last)
        yield from range(first, last + 1) if asks_always else looks_to_ask(state, traffic, first, last)
        first = last + 1


def _measured(state: RolloutState, traffic: StepTraffic, look: int, applied_ms: int) -> Measurement:
    """Measure as the judge does, what a view without a gap would count."""
    answer = Measured(
        freshness="fresh",
        watermark_ms=applied_ms + look * traffic.look_ms,
        lag_ms=_LAG_MS,
        waiting_for=(),
        arms={
            state.candidate_deployment_id: traffic.arm(CANDIDATE, look),
            state.baseline_deployment_id: traffic.arm(BASELINE, look),
        },
    )
    lasted_s = look * traffic.look_ms / 1000
    watched = Watched(
        rollout=state, workspace="default", started_s=0.0, set_s=0.0, applied_ms=applied_ms, applied_s=0.0
    )
    measurement = measurement_of(watched, answer, now_s=lasted_s + _LAG_MS / 1000)
    assert measurement is not None, "the step is served"
    return measurement


@cache
def _warmed(kind: Kind) -> RolloutState:
    """Start a rollout up to its first step; all of a kind start alike."""
    key = AssignmentKey(header="x-customer") if kind.surroundings.callers else DEFAULT_KEY
    decision = start(
        StartRollout(
            endpoint="simulated", version="simulated/2", strategy=kind.strategy, gates=PLANS[kind.plan], alpha=ALPHA
        ),
        endpoint=msgspec.structs.replace(NO_ENDPOINT, id="endpoint-1", name="simulated", assigned_by=key),
        candidate=_deployment("candidate", 2),
        baseline=_deployment("baseline", 1),
    )
    state = _evolved(None, decision, at_ms=_BEGAN_MS)
    warm = ReportWarmUp(ready_instances=state.replicas, elapsed_ms=0)
    return _evolved(state, decide(state, warm, next_epoch=1), at_ms=_BEGAN_MS)


def _deployment(name: str, number: int) -> DeploymentAdded:
    return DeploymentAdded(
        deployment_id=f"deployment-{name}",
        version=VersionReference(version_id=f"version-{number}", model_name="simulated", number=number),
        artifact=Artifact(digest="sha256:" + "0" * 64, size_bytes=1, format="onnx"),
        signature=Signature(inputs=(), outputs=()),
        golden=None,
        replicas=1,
    )


def _evolved(state: RolloutState | None, decision: Decision, *, at_ms: int) -> RolloutState:
    for event in decision.events:
        version = 1 if state is None else state.stream_version + 1
        context = EventContext(
            event_id=f"event-{version}",
            workspace="default",
            stream="rollout-1",
            version=version,
            at=rfc3339(at_ms),
            actor="principal-1",
        )
        state = evolve(state, event, context)
    assert state is not None, "the first event starts the rollout"
    return state
