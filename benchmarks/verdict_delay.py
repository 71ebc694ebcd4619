"""Enough labels there to verdict recorded.

A canary of many steps of about half the traffic each. In each step the labels are held back until both arms have more
answers than their gate needs and the records of these have long been shipped; then they are sent at once. What is
measured goes from the answer of the feedback API that completes them to the time of the StepJudged event.
"""

import itertools
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from benchmarks.digits import ENDPOINT, PATH, image_bodies, register_two_versions, serve
from benchmarks.figures import Figure, at_most, quantile
from benchmarks.load import Kept, Plan
from benchmarks.stack import running_stack
from benchmarks.traffic import Traffic, figures_of, flowing
from rollbook import Rollbook
from rollbook.resources import Rollout

_STEPS = 10
_STEPS_FULL = 24
_ROLLOUTS, _ROLLOUTS_FULL = 1, 3
_REQUESTS_PER_S = 240.0
_LABELS_AN_ARM = 120
_ANSWERS_AN_ARM = 150
_LOOKED_BACK = 3_000
_ALPHA = 0.5
_HOLD_BACK_S = 2.0
_POLL_S = 0.05
_WITHIN_S = 30.0
_GATES: list[dict[str, Any]] = [
    {"kind": "quality", "feedback_name": "label", "max_drop": 0.2, "min_labels": _LABELS_AN_ARM}
]


def measure(*, full: bool) -> Iterator[list[Figure]]:
    """Let a rollout go from step to step as labels come, then abort it and begin another."""
    delays: list[float] = []
    with running_stack() as stack, stack.client() as rollbook:
        versions = register_two_versions(rollbook)
        serve(rollbook, versions[0])
        plan = Plan(
            gateway_url=stack.gateway_url,
            token=rollbook.inference_tokens.mint(["*"]).token,
            path=PATH,
            bodies=image_bodies(),
            endpoints=[ENDPOINT],
            requests_per_s=_REQUESTS_PER_S,
            keep=True,
        )
        with flowing(plan) as traffic:
            for _ in range(_ROLLOUTS_FULL if full else _ROLLOUTS):
                delays += _one_rollout(rollbook, traffic, versions[1], steps=_STEPS_FULL if full else _STEPS)
            load = traffic.finish()
        yield [*_figures(delays), *figures_of(load, prefix="load")]


def _one_rollout(rollbook: Rollbook, traffic: Traffic, candidate: str, *, steps: int) -> list[float]:
    rollout = rollbook.rollouts.start(ENDPOINT, candidate, strategy=_strategy(steps), gates=_GATES, alpha=_ALPHA)
    posted_at: dict[int, float] = {}
    for step in range(steps):
        rollout = _wait_for_step(rollbook, rollout, step)
        answers = _enough_answers(traffic, rollout)
        time.sleep(_HOLD_BACK_S)
        rollbook.feedback.send(
            [{"prediction_id": one.prediction_id, "name": "label", "value": one.label} for one in answers]
        )
        posted_at[step] = time.time()
    rollout = _wait_for_step(rollbook, rollout, steps)
    rollbook.rollouts.abort(rollout.id, reason="measured enough")
    judged_at = _judged_at(rollbook, rollout)
    return [judged_at[step] - at for step, at in posted_at.items()]


def _strategy(steps: int) -> dict[str, Any]:
    """Keep both arms at about half the traffic, in steps that grow by one percent, so that each gives a sample."""
    weights = [*range(50 - steps // 2, 50 - steps // 2 + steps), 100]
    ladder = [{"weight_percent": weight, "min_duration_ms": 500, "max_duration_ms": 60_000} for weight in weights]
    return {"kind": "canary", "steps": ladder, "bake_time_ms": 60_000}


def _wait_for_step(rollbook: Rollbook, rollout: Rollout, step: int) -> Rollout:
    deadline = time.monotonic() + _WITHIN_S
    while rollout.step != step or rollout.phase not in {"stepping", "baking"}:
        if rollout.is_over or time.monotonic() > deadline:
            raise RuntimeError(f"rollout {rollout.id} is {rollout.phase} at step {rollout.step}: {rollout.reason}")
        time.sleep(_POLL_S)
        rollout = rollbook.rollouts.get(rollout.id)
    return rollout


def _enough_answers(traffic: Traffic, rollout: Rollout) -> list[Kept]:
    """Wait until each arm has more answers than its gate needs, and return so many of each."""
    deadline = time.monotonic() + _WITHIN_S
    while time.monotonic() < deadline:
        by_arm = _answers_by_arm(traffic, rollout)
        if all(len(arm) >= _ANSWERS_AN_ARM for arm in by_arm):
            return [answer for arm in by_arm for answer in arm[:_ANSWERS_AN_ARM]]
        time.sleep(_POLL_S)
    raise TimeoutError(f"too few answers of epoch {rollout.epoch} within {_WITHIN_S:g} s")


def _answers_by_arm(traffic: Traffic, rollout: Rollout) -> list[list[Kept]]:
    latest = list(itertools.islice(reversed(traffic.answers), _LOOKED_BACK))
    arms = (rollout.candidate_deployment_id, rollout.baseline_deployment_id)
    return [[one for one in latest if one.epoch == rollout.epoch and one.deployment_id == arm] for arm in arms]


def _judged_at(rollbook: Rollbook, rollout: Rollout) -> dict[int, float]:
    events = rollbook.events(stream=rollout.id, event_type="rollouts.StepJudged.v1", limit=1_000)
    return {
        recorded.event["data"]["measurement"]["step"]: datetime.fromisoformat(recorded.event["time"]).timestamp()
        for recorded in events
    }


def _figures(delays: list[float]) -> list[Figure]:
    return [
        Figure(name="labels complete to verdict recorded, p50", value=quantile(delays, 0.5), unit="s"),
        Figure(
            name="labels complete to verdict recorded, p99",
            value=quantile(delays, 0.99),
            unit="s",
            goal=at_most(3),
            note=f"{len(delays)} steps, highest {max(delays):.2f} s",
        ),
    ]
