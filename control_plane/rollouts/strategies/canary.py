"""The canary: the candidate's weight grows step by step beside the baseline."""

from itertools import pairwise
from typing import ClassVar

import msgspec

from control_plane.rollouts.gates.base import Problem
from control_plane.rollouts.strategies.base import Stage
from schemas.events.endpoints import BUCKETS
from schemas.events.rollouts import Canary, CanaryStep

_MIN_STEPS, _MAX_STEPS = 2, 50
_ROUNDING = 1e-6
_MAX_MS = 90 * 24 * 60 * 60 * 1000
_EVERYTHING = 100.0


class CanaryStrategy(msgspec.Struct, frozen=True):
    """Steps with growing weights; the last is 100 % and lasts the bake time."""

    kind: ClassVar[str] = "canary"
    canary: Canary

    def problems(self) -> tuple[Problem, ...]:
        return (*_ladder_problems(self.canary.steps), *self._step_problems(), *self._bake_problems())

    def stages(self) -> tuple[Stage, ...]:
        return tuple(
            Stage(
                weight_percent=step.weight_percent,
                min_duration_ms=step.min_duration_ms,
                max_duration_ms=step.max_duration_ms,
            )
            for step in self.canary.steps
        )

    def bake_time_ms(self) -> int:
        return max(self.canary.bake_time_ms, self.canary.steps[-1].min_duration_ms)

    def _step_problems(self) -> list[Problem]:
        return [problem for index, step in enumerate(self.canary.steps) for problem in _one_step_problems(index, step)]

    def _bake_problems(self) -> tuple[Problem, ...]:
        bake_time_ms = self.canary.bake_time_ms
        if 0 <= bake_time_ms <= _MAX_MS:
            return ()
        return (Problem("bake_time_ms", f"{bake_time_ms} ms is not a valid bake time", f"give 0 to {_MAX_MS}"),)


def _ladder_problems(steps: tuple[CanaryStep, ...]) -> list[Problem]:
    remedy = "give at least one step below 100 %, each above the one before, and 100 % last, such as 5, 25, 50, 100"
    weights = [step.weight_percent for step in steps]
    if not _MIN_STEPS <= len(weights) <= _MAX_STEPS:
        return [Problem("steps", f"a canary has {_MIN_STEPS} to {_MAX_STEPS} steps, not {len(weights)}", remedy)]
    problems = [
        Problem(
            f"steps[{index + 1}].weight_percent",
            f"the weights do not increase: {after:g} % follows {before:g} %",
            remedy,
        )
        for index, (before, after) in enumerate(pairwise(weights))
        if not before < after
    ]
    if weights[-1] != _EVERYTHING:
        last = Problem(
            f"steps[{len(weights) - 1}].weight_percent", f"the last step is {weights[-1]:g} %, not 100 %", remedy
        )
        problems.append(last)
    return problems


def _one_step_problems(index: int, step: CanaryStep) -> list[Problem]:
    problems = []
    buckets = step.weight_percent * BUCKETS / 100
    if not (0 < step.weight_percent <= _EVERYTHING and abs(buckets - round(buckets)) < _ROUNDING):
        detail = f"{step.weight_percent:g} % is not a valid step weight"
        problems.append(Problem(f"steps[{index}].weight_percent", detail, "give 0.01 to 100 with at most two decimals"))
    if not 0 <= step.min_duration_ms <= _MAX_MS:
        detail = f"{step.min_duration_ms} ms is not a duration"
        problems.append(Problem(f"steps[{index}].min_duration_ms", detail, f"give 0 to {_MAX_MS}"))
    if step.weight_percent < _EVERYTHING and not max(1, step.min_duration_ms) <= step.max_duration_ms <= _MAX_MS:
        detail = f"a step cannot end between {step.min_duration_ms} and {step.max_duration_ms} ms"
        remedy = f"give at least 1 and min_duration_ms, at most {_MAX_MS}"
        problems.append(Problem(f"steps[{index}].max_duration_ms", detail, remedy))
    return problems
