"""The short form of the simulation, without other processes: its seed is fixed, so it cannot fail now and then."""

from concurrent.futures import Executor, Future
from typing import Any

import pytest

from benchmarks.simulation.kinds import ALPHA, BUSY, UNCHANGED, Kind
from benchmarks.simulation.many import simulate
from benchmarks.simulation.scenario import compared

COUNT = 30


class Here(Executor):
    """Runs each task where it is submitted."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> "Future[Any]":  # noqa: ANN401
        done: Future[Any] = Future()
        done.set_result(fn(*args, **kwargs))
        return done


@pytest.mark.parametrize("kind", [*UNCHANGED, BUSY.unchanged, BUSY.at_the_limit], ids=lambda kind: kind.name)
def test_sound_candidates_are_not_aborted_more_often_than_promised(kind: Kind) -> None:
    assert simulate(Here(), kind, COUNT).aborted.lower <= ALPHA


@pytest.mark.parametrize("kind", BUSY.bad, ids=lambda kind: kind.name)
def test_bad_candidates_are_stopped_before_they_serve_everything(kind: Kind) -> None:
    simulated = simulate(Here(), kind, COUNT)

    assert simulated.ended_as("aborted") == COUNT
    assert all(len(each.looks) < len(kind.strategy.steps) for each in simulated.ended)


def test_each_bad_kind_is_compared_with_four_rules_that_are_calibrated_in_two_ways() -> None:
    figures = compared(Here(), BUSY, 10, pilots=10)

    judged = [figure for figure in figures if figure.name.startswith("…")]
    assert len(judged) == len(BUSY.bad) * 4 * 2
    assert all(figure.goal is not None and figure.value > 0 for figure in judged)
