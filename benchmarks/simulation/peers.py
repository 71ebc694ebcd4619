"""What others would do on the same traffic, with limits that abort as many sound candidates as the product does.

Three rules of a fixed threshold, asked each minute, and a test at the end of each step. Their steps last as long as the
product needs on average for an unchanged candidate, so that all promote it equally fast. They do not look while a
promoted candidate bakes: to compare with an earlier baseline, their limits would have to be too wide for the steps.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from benchmarks.simulation.kinds import LIMIT
from benchmarks.simulation.traffic import BASELINE, CANDIDATE, Counts, Rollout

MINUTE_MS = 60_000
_METRICS = (("requests", "errors"), ("requests", "refused"), ("requests", "slow"), ("labelled", "wrong"))
_ERRORS = 0
_TRIALS, _BAD = 0, 1
_NEVER = -np.inf

Numbers: TypeAlias = npt.NDArray[np.float64]
Flags: TypeAlias = npt.NDArray[np.bool_]


class Seen(msgspec.Struct, frozen=True):
    """Cumulative counts of each step at each minute, by rollout, minute, metric, arm, and trials or bad ones.

    `minutes` says how many belong to each step; the last one is that in which the candidate serves everything.
    """

    counts: Counts
    minutes: tuple[int, ...]

    @property
    def ends(self) -> list[int]:
        """Return the last minute of each step."""
        return [int(end) - 1 for end in np.cumsum(self.minutes)]

    @property
    def bake(self) -> slice:
        return slice(sum(self.minutes[:-1]), None)

    def answered(self) -> Counts:
        """Return how many requests the candidate had answered, by rollout and minute."""
        own = self.counts[:, :, _ERRORS, CANDIDATE, _TRIALS].copy()
        for end in self.ends[:-1]:
            own[:, end + 1 :] += self.counts[:, end, _ERRORS, CANDIDATE, _TRIALS][:, None]
        return own


class Stopped(msgspec.Struct, frozen=True):
    """What the candidates of some rollouts answered before they were stopped or kept, and whether they were stopped."""

    answered: Counts
    is_stopped: Flags


Rule: TypeAlias = Callable[[Seen], Numbers]
"""Returns how bad a candidate looks, by rollout, minute and metric."""


def seen_by_minute(rollout: Rollout, minutes: Sequence[int]) -> Counts:
    """Return the counts of one rollout, without the first dimension of `Seen`."""
    rows = []
    for number, (step, lasts) in enumerate(zip(rollout.kind.strategy.steps, minutes, strict=True)):
        traffic = rollout.step(number, weight=step.weight_percent / 100)
        looks = np.arange(1, lasts + 1) * MINUTE_MS // traffic.look_ms
        traffic.reach(int(looks[-1]))
        named = [[traffic.counts[name][:, looks].T for name in names] for names in _METRICS]
        rows.append(np.array(named).transpose(2, 0, 3, 1))
    return np.concatenate(rows)


def share_of_last_minute(seen: Seen) -> Numbers:
    """A fixed threshold for the candidate alone, as analyses of Argo Rollouts usually have it."""
    before = np.concatenate((np.zeros_like(seen.counts[:, :1]), seen.counts[:, :-1]), axis=1)
    for end in seen.ends[:-1]:
        before[:, end + 1] = 0
    last = (seen.counts - before)[:, :, :, CANDIDATE]
    return _while_stepping(_share(last), seen)


def difference_since_the_step_began(seen: Seen) -> Numbers:
    """A fixed threshold for the difference from the baseline."""
    shares = _share(seen.counts)
    return _while_stepping(shares[..., CANDIDATE] - shares[..., BASELINE], seen)


def difference_after_the_first_minute(seen: Seen) -> Numbers:
    """The same threshold, which does not look when a step has just begun and labels are only coming."""
    differences = difference_since_the_step_began(seen)
    differences[:, [0, *(end + 1 for end in seen.ends[:-1])]] = _NEVER
    return differences


def z_score_at_the_end(seen: Seen, *, margin: float) -> Numbers:
    """A z-test of two proportions at the end of each step: is the difference above the margin?"""
    counts = seen.counts
    trials = np.maximum(counts[..., _TRIALS], 1)
    shares = (counts[..., _BAD] + 0.5) / (trials + 1)
    variance = (shares * (1 - shares) / trials).sum(axis=-1)
    scores = (shares[..., CANDIDATE] - shares[..., BASELINE] - margin) / np.sqrt(variance)
    tested = np.full_like(scores, _NEVER)
    tested[:, seen.ends] = scores[:, seen.ends]
    return _while_stepping(tested, seen)


OF_NO_CHANGE: Mapping[str, Rule] = {
    "candidate's last minute": share_of_last_minute,
    "difference since the step began": difference_since_the_step_began,
    "the same after the first minute": difference_after_the_first_minute,
    "z-test at the end of a step": partial(z_score_at_the_end, margin=0.0),
}
OF_THE_LIMIT: Mapping[str, Rule] = {
    **OF_NO_CHANGE,
    "z-test at the end of a step": partial(z_score_at_the_end, margin=LIMIT),
}
"""The rules by name, as they suit the candidates by which they are calibrated."""


def calibrated(rule: Rule, sound: Seen, *, aborts: int) -> Numbers:
    """Return each metric's threshold, so that at most so many sound candidates are aborted, about as many by each."""
    worst = rule(sound).max(axis=1)
    ordered = np.sort(worst, axis=0)[::-1]
    # How many look at least as bad as each candidate, by the metric in which they are fewest.
    by_metric = [np.searchsorted(np.sort(column), column) for column in worst.T]
    fewest = np.sort(len(worst) - np.max(by_metric, axis=0))
    thresholds: Numbers = ordered[fewest[aborts] - 1]
    return thresholds


def stopped(rule: Rule, seen: Seen, thresholds: Numbers) -> Stopped:
    """Return what a rule with these thresholds lets the candidates answer."""
    aborts: Flags = np.any(rule(seen) > thresholds, axis=2)
    is_stopped: Flags = np.any(aborts, axis=1)
    minute = np.where(is_stopped, aborts.argmax(axis=1), aborts.shape[1] - 1)
    return Stopped(seen.answered()[np.arange(len(minute)), minute], is_stopped)


def _share(counts: Counts) -> Numbers:
    share: Numbers = counts[..., _BAD] / np.maximum(counts[..., _TRIALS], 1)
    return share


def _while_stepping(numbers: Numbers, seen: Seen) -> Numbers:
    limited = numbers.copy()
    limited[:, seen.bake] = _NEVER
    return limited
