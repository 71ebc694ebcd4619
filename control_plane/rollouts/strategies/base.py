"""What a rollout asks of its strategy: how far the traffic goes at which step, and for how long."""

from typing import ClassVar, Protocol

import msgspec

from control_plane.rollouts.gates.base import Problem


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """One step as the rollout lives it: the candidate's weight and the time that judging may take."""

    weight_percent: float
    min_duration_ms: int
    max_duration_ms: int


class RolloutStrategy(Protocol):
    """One way to move an endpoint's traffic, built from its parameters. Pure and total once `problems` is empty."""

    kind: ClassVar[str]

    def problems(self) -> tuple[Problem, ...]:
        """Return what is wrong with the parameters; asked once, before the rollout starts."""

    def stages(self) -> tuple[Stage, ...]:
        """Return all steps in order; at the last one the candidate serves everything."""

    def bake_time_ms(self) -> int:
        """Return how long the candidate serves everything, its baseline still warm, before the rollout is over."""
