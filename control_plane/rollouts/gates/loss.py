"""The gate on a loss that callers report."""

from typing import ClassVar

import msgspec

from control_plane.rollouts.gates.base import (
    Problem,
    Terms,
    difference_problems,
    minimum_problems,
    name_problems,
    number_problems,
)
from schemas.events.rollouts import LossGate


class LossRule(msgspec.Struct, frozen=True):
    """The share of predictions over a threshold may exceed the concurrent baseline's by a limit at most.

    A share rather than a mean, as the mean of a loss without an upper limit has no bounds that hold at any time.
    An infinite loss is over any threshold, and so is NaN, which a model that has diverged usually reports.
    """

    kind: ClassVar[str] = "loss"
    compares_over_time: ClassVar[bool] = False
    gate: LossGate

    def problems(self) -> tuple[Problem, ...]:
        return (
            *name_problems(
                "feedback_name", self.gate.feedback_name, remedy='give the name the loss is posted under, "loss"'
            ),
            *number_problems("threshold", self.gate.threshold, kind="loss"),
            *difference_problems("max_increase", self.gate.max_increase),
            *minimum_problems("min_labels", self.gate.min_labels),
        )

    def terms(self) -> Terms:
        return Terms(
            kind=self.kind,
            subject=f"losses over {self.gate.threshold:g}",
            unit="labels",
            called=self.gate.feedback_name,
            worse="above",
            max_difference=self.gate.max_increase,
            min_trials=self.gate.min_labels,
        )
