"""What every gate is: two shares of bad outcomes to compare, and how much worse the candidate's may be."""

import re
from math import isfinite
from typing import ClassVar, Protocol

import msgspec

from schemas.events.rollouts import Direction
from schemas.observations import MAX_WORD, WORD


class Problem(msgspec.Struct, frozen=True):
    """A parameter that makes no sense, by its name, and what would make sense."""

    field: str
    detail: str
    remedy: str


class GateRule(Protocol):
    """One kind of gate, built from its parameters.

    A rule is pure and total: it never raises once `problems` is empty.
    """

    kind: ClassVar[str]
    compares_over_time: ClassVar[bool]
    """Whether the candidate of now may be compared with the baseline of before, as it is while baking: a share of
    failures hardly depends on the hour, while latency goes with the load and accuracy with what is asked."""

    def problems(self) -> tuple[Problem, ...]:
        """Return what is wrong with the parameters; asked once, before the rollout starts."""

    def terms(self) -> "Terms":
        """Return what is compared, as it is shown beside the verdict."""


class LimitsIncrease(Protocol):
    """The parameters of a gate on how much a share of requests may increase."""

    @property
    def max_increase(self) -> float: ...

    @property
    def min_requests(self) -> int: ...


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What a gate compares, how much it allows, and how its reason reads.

    `worse` says where a worse candidate stands. A subject that gets worse downwards is shown as the share of good
    outcomes, 1 - bad. `called` is the name of the feedback that is counted.
    """

    kind: str
    subject: str
    unit: str
    worse: Direction
    max_difference: float
    min_trials: int
    called: str | None = None


def increase_terms(kind: str, gate: LimitsIncrease, subject: str, *, unit: str) -> Terms:
    """Return the terms of a gate on how much a share may increase."""
    return Terms(
        kind=kind,
        subject=subject,
        unit=unit,
        worse="above",
        max_difference=gate.max_increase,
        min_trials=gate.min_requests,
    )


def increase_problems(gate: LimitsIncrease) -> tuple[Problem, ...]:
    """Check how much a share may increase, and on how many requests."""
    return (
        *difference_problems("max_increase", gate.max_increase),
        *minimum_problems("min_requests", gate.min_requests),
    )


def difference_problems(field: str, value: float) -> tuple[Problem, ...]:
    """Check an allowed difference of two shares."""
    if 0 <= value < 1:
        return ()
    return (
        Problem(
            field, f"{value:g} is not a share", "give a number from 0 up to but not including 1; 0.02 means two points"
        ),
    )


def duration_problems(field: str, value: float) -> tuple[Problem, ...]:
    """Check a threshold in milliseconds."""
    if isfinite(value) and value > 0:
        return ()
    return (Problem(field, f"{value:g} ms is not a duration", "give a number above 0"),)


def name_problems(field: str, value: str, *, remedy: str) -> tuple[Problem, ...]:
    """Check the name of the feedback that a gate rests on: feedback of another name cannot be posted."""
    if len(value) <= MAX_WORD and re.fullmatch(WORD, value):
        return ()
    return (Problem(field, f"no feedback can be called {value[:MAX_WORD]!r}", remedy),)


def number_problems(field: str, value: float, *, kind: str) -> tuple[Problem, ...]:
    """Check a threshold that may be any finite number of a kind, such as a loss."""
    return (
        ()
        if isfinite(value)
        else (Problem(field, f"{value:g} is not a {kind} to compare with", "give a finite number"),)
    )


def minimum_problems(field: str, value: int) -> tuple[Problem, ...]:
    """Check the fewest trials that a pass needs."""
    return () if value >= 1 else (Problem(field, f"{value} trials are too few to decide", "give at least 1"),)
