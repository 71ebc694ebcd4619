import math

import pytest

from benchmarks.figures import Figure, Goal, at_least, at_most, below, line_of, quantile


@pytest.mark.parametrize(
    ("goal", "value", "is_met"),
    [
        (at_most(25), 25.0, True),
        (at_most(25), 25.1, False),
        (below(1), 1.0, False),
        (at_least(500), 500.0, True),
        (at_least(500), 499.9, False),
    ],
)
def test_a_goal_is_kept_up_to_its_limit(goal: Goal, value: float, *, is_met: bool) -> None:
    assert goal.is_met_by(value) is is_met


@pytest.mark.parametrize("goal", [at_most(25), below(1), at_least(500)])
def test_what_could_not_be_measured_keeps_no_goal(goal: Goal) -> None:
    assert not goal.is_met_by(quantile([], 0.99))


def test_a_quantile_is_a_value_that_was_measured() -> None:
    values = [float(value) for value in range(100, 0, -1)]

    assert quantile(values, 0.5) == 50.0
    assert quantile(values, 0.99) == 99.0
    assert quantile(values[:3], 0.99) == 100.0
    assert math.isnan(quantile([], 0.5))


def test_a_line_says_that_a_goal_is_missed() -> None:
    line = line_of(Figure(name="a change", value=30.0, unit="ms", goal=at_most(25), note="9 changes"))

    assert line.split() == ["a", "change", "30", "ms", "[<=", "25]", "MISSED", "9", "changes"]
