"""What is measured, what it should be, and how both are shown."""

import math
from collections.abc import Sequence
from typing import Literal

import msgspec


class Goal(msgspec.Struct, frozen=True, kw_only=True):
    """A limit that a figure keeps or misses."""

    comparison: Literal["<", "<=", ">", ">="]
    limit: float

    def is_met_by(self, value: float) -> bool:
        """Whether the value keeps the limit; a figure that could not be measured keeps none."""
        match self.comparison:
            case "<":
                return value < self.limit
            case "<=":
                return value <= self.limit
            case ">":
                return value > self.limit
            case ">=":
                return value >= self.limit


def below(limit: float) -> Goal:
    """Return the goal of being less than the limit."""
    return Goal(comparison="<", limit=limit)


def at_most(limit: float) -> Goal:
    """Return the goal of not exceeding the limit."""
    return Goal(comparison="<=", limit=limit)


def above(limit: float) -> Goal:
    """Return the goal of exceeding the limit."""
    return Goal(comparison=">", limit=limit)


def at_least(limit: float) -> Goal:
    """Return the goal of reaching the limit."""
    return Goal(comparison=">=", limit=limit)


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One measured number; without a goal it explains another. `note` says how many samples it rests on."""

    name: str
    value: float
    unit: str
    goal: Goal | None = None
    note: str = ""

    @property
    def outcome(self) -> str:
        """`met` or `MISSED`, or nothing where there is no goal."""
        if self.goal is None:
            return ""
        return "met" if self.goal.is_met_by(self.value) else "MISSED"


def quantile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share of the values does not exceed; NaN of nothing."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan


def line_of(figure: Figure) -> str:
    """Write a figure as a line of the table."""
    goal = f"[{figure.goal.comparison} {figure.goal.limit:,g}]" if figure.goal else ""
    value = f"{_short(figure.value)} {figure.unit}"
    return f"  {figure.name:<58} {value:>18}  {goal:<12} {figure.outcome:<6} {figure.note}".rstrip()


def _short(value: float) -> str:
    if not math.isfinite(value):
        return "none"
    return f"{value:,.0f}" if abs(value) >= 1_000 or value == round(value) else f"{value:,.3g}"
