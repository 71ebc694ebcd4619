"""The gate on accuracy."""

from typing import ClassVar

import msgspec

from control_plane.rollouts.gates.base import (
    Problem,
    Terms,
    difference_problems,
    minimum_problems,
    name_problems,
)
from schemas.events.rollouts import QualityGate


class QualityRule(msgspec.Struct, frozen=True):
    """The candidate's accuracy may fall below the concurrent baseline's by a limit at most."""

    kind: ClassVar[str] = "quality"
    compares_over_time: ClassVar[bool] = False
    gate: QualityGate

    def problems(self) -> tuple[Problem, ...]:
        return (
            *name_problems(
                "feedback_name", self.gate.feedback_name, remedy='give the name the labels are posted under, "label"'
            ),
            *difference_problems("max_drop", self.gate.max_drop),
            *minimum_problems("min_labels", self.gate.min_labels),
        )

    def terms(self) -> Terms:
        return Terms(
            kind=self.kind,
            subject="accuracy",
            unit="labels",
            called=self.gate.feedback_name,
            worse="below",
            max_difference=self.gate.max_drop,
            min_trials=self.gate.min_labels,
        )
