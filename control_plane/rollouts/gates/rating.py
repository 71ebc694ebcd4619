"""The gate on ratings that callers or judges give."""

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
from schemas.events.rollouts import RatingGate


class RatingRule(msgspec.Struct, frozen=True):
    """The share of predictions rated below a threshold may exceed the concurrent baseline's by a limit at most.

    A rating of minus infinity is below any threshold, and so is NaN.
    """

    kind: ClassVar[str] = "rating"
    compares_over_time: ClassVar[bool] = False
    gate: RatingGate

    def problems(self) -> tuple[Problem, ...]:
        return (
            *name_problems(
                "feedback_name", self.gate.feedback_name, remedy='give the name ratings are posted under, "rating"'
            ),
            *number_problems("threshold", self.gate.threshold, kind="rating"),
            *difference_problems("max_increase", self.gate.max_increase),
            *minimum_problems("min_labels", self.gate.min_labels),
        )

    def terms(self) -> Terms:
        return Terms(
            kind=self.kind,
            subject=f"ratings below {self.gate.threshold:g}",
            unit="ratings",
            called=self.gate.feedback_name,
            worse="above",
            max_difference=self.gate.max_increase,
            min_trials=self.gate.min_labels,
        )
