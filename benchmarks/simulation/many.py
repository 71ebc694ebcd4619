"""Many rollouts of a kind, on several processes, and how they ended."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from math import ceil
from multiprocessing import get_context
from statistics import mean

import msgspec
import numpy as np
from scipy.special import betaincinv

from benchmarks.simulation.kinds import Kind
from benchmarks.simulation.peers import MINUTE_MS, Seen, seen_by_minute
from benchmarks.simulation.product import Ended, run
from benchmarks.simulation.traffic import Counts, Rollout

SEED, _PILOT_SEED = 17, 18
_AT_ONCE = 50
_PROCESSES = 2
_DOUBT = 0.05


class Interval(msgspec.Struct, frozen=True):
    """The 95 % interval of Clopper and Pearson for a share."""

    lower: float
    upper: float


class Simulated(msgspec.Struct, frozen=True, kw_only=True):
    """How the rollouts of a kind ended, and what others saw of them."""

    kind: Kind
    ended: list[Ended]
    seen: Seen | None = None

    def ended_as(self, phase: str) -> int:
        return sum(each.phase == phase for each in self.ended)

    @property
    def aborted(self) -> Interval:
        """Return the interval of how often rollouts of this kind are aborted."""
        return share_between(self.ended_as("aborted"), len(self.ended))


@contextmanager
def processes() -> Iterator[Executor]:
    """Simulate on both cores until the block is left."""
    with ProcessPoolExecutor(_PROCESSES, mp_context=get_context("spawn")) as executor:
        yield executor


def simulate(executor: Executor, kind: Kind, count: int, *, minutes: tuple[int, ...] | None = None) -> Simulated:
    """Run the first rollouts of a kind; with `minutes`, also note what others see in steps of that length."""
    parts = list(executor.map(_part, *zip(*_tasks(kind, count, SEED, minutes), strict=True)))
    seen = None if minutes is None else Seen(np.concatenate([counts for _, counts in parts]), minutes)
    return Simulated(kind=kind, ended=[each for ended, _ in parts for each in ended], seen=seen)


def minutes_of_steps(executor: Executor, kind: Kind, count: int) -> tuple[int, ...]:
    """Return how many minutes the product spends in each step, on average of other rollouts of a kind."""
    ended = [
        each
        for part, _ in executor.map(_part, *zip(*_tasks(kind, count, _PILOT_SEED, None), strict=True))
        for each in part
    ]
    look_ms = kind.surroundings.look_ms
    steps = range(len(kind.strategy.steps))
    looks = [[each.looks[step] for each in ended if len(each.looks) > step] for step in steps]
    return tuple(ceil(mean(of_step) * look_ms / MINUTE_MS) for of_step in looks)


def share_between(count: int, total: int) -> Interval:
    """Return where a share lies of which so many out of a total were seen."""
    lower = float(betaincinv(count, total - count + 1, _DOUBT / 2)) if count else 0.0
    upper = float(betaincinv(count + 1, total - count, 1 - _DOUBT / 2)) if count < total else 1.0
    return Interval(lower, upper)


_Task = tuple[Kind, int, range, Sequence[int] | None]


def _tasks(kind: Kind, count: int, seed: int, minutes: Sequence[int] | None) -> list[_Task]:
    return [(kind, seed, range(first, min(first + _AT_ONCE, count)), minutes) for first in range(0, count, _AT_ONCE)]


def _part(kind: Kind, seed: int, numbers: range, minutes: Sequence[int] | None) -> tuple[list[Ended], Counts]:
    ended, seen = [], []
    for number in numbers:
        rollout = Rollout(kind, seed=seed, number=number)
        ended.append(run(rollout))
        if minutes is not None:
            seen.append(seen_by_minute(rollout, minutes))
    return ended, np.array(seen, dtype=np.int64)
