"""At which looks the product could decide anything: the others need not be asked about, which saves most of the time.

The interval is the range of differences over the pairs of shares whose martingale is below 1 / alpha (see
`control_plane/rollouts/gates/sequential.py`). So one such pair whose difference is the limit proves that the interval
reaches across the limit, and the gate can neither pass nor fail. Looks without such a proof are given to the product.
"""

from collections.abc import Iterator
from functools import cache
from math import log

import msgspec
import numpy as np
import numpy.typing as npt
from scipy.special import expit, gammaln

from benchmarks.simulation.traffic import BASELINE, CANDIDATE, Counts, StepTraffic
from control_plane.rollouts.aggregate import RolloutState
from control_plane.rollouts.gates.table import rule_of
from control_plane.rollouts.strategies.table import strategy_of
from schemas.events.rollouts import Gate

_COUNTED = {
    "error_rate": ("requests", "errors"),
    "caller_error_rate": ("requests", "refused"),
    "latency": ("requests", "slow"),
    "quality": ("labelled", "wrong"),
}
_LOG_BETA_OF_PRIOR = 2 * float(gammaln(0.5))
_MAX_TRIALS = 1 << 20
_EDGE = 1e-6
_FEW, _MANY = 4, 12
_MIN_SHARE = 1e-6
_SEARCHED_AT_ONCE = 8
_Flags = npt.NDArray[np.bool_]
_Numbers = npt.NDArray[np.float64]
_Places = npt.NDArray[np.intp]


class Arms(msgspec.Struct, frozen=True):
    """Trials and bad ones of one gate, at many looks."""

    trials: Counts
    bad: Counts
    baseline_trials: Counts
    baseline_bad: Counts

    def at(self, looks: _Places) -> "Arms":
        return Arms(self.trials[looks], self.bad[looks], self.baseline_trials[looks], self.baseline_bad[looks])


def looks_to_ask(state: RolloutState, traffic: StepTraffic, first: int, last: int) -> Iterator[int]:
    """Yield the looks of a step, from the first up to the last, at which the product may decide something."""
    elapsed_ms = traffic.look_ms * np.arange(first, last + 1)
    arms = {gate: _arms(state, gate, traffic, first, last) for gate in state.gates if _is_asked(state, gate)}
    if state.phase == "baking":
        ends = elapsed_ms >= strategy_of(state.strategy).bake_time_ms()
        may_advance = np.zeros(len(elapsed_ms), np.bool_)
    else:
        assert state.step is not None, "a step is judged"
        ends = elapsed_ms >= state.deadline_ms
        may_advance = elapsed_ms >= state.stages[state.step].min_duration_ms

    def undecided(looks: _Places, *, halvings: int) -> _Flags:
        fails, passes = np.zeros(len(looks), np.bool_), may_advance[looks]
        # The last gates need most evidence; where one cannot pass, no other has to.
        for gate, counted in reversed(arms.items()):
            may_fail, passes = _possible(gate, counted.at(looks), passes, alpha=state.alpha_per_gate, halvings=halvings)
            fails |= may_fail
        return ~(fails | passes | ends[looks])

    # Most looks are cleared at once. The others are searched, few at a time as the first of them may decide.
    left = np.flatnonzero(~undecided(np.arange(len(elapsed_ms)), halvings=_FEW))
    for start in range(0, len(left), _SEARCHED_AT_ONCE):
        looks = left[start : start + _SEARCHED_AT_ONCE]
        yield from (first + int(look) for look in looks[~undecided(looks, halvings=_MANY)])


def _is_asked(state: RolloutState, gate: Gate) -> bool:
    return state.phase != "baking" or rule_of(gate).compares_over_time


def _arms(state: RolloutState, gate: Gate, traffic: StepTraffic, first: int, last: int) -> Arms:
    kind = rule_of(gate).kind
    trials, bad = (traffic.counts[name][:, first : last + 1] for name in _COUNTED[kind])
    if state.phase != "baking":
        return Arms(trials[CANDIDATE], bad[CANDIDATE], trials[BASELINE], bad[BASELINE])
    (kept,) = (each.baseline for each in state.judged if each.gate == kind)
    return Arms(
        trials[CANDIDATE],
        bad[CANDIDATE],
        np.full_like(trials[CANDIDATE], kept.trials),
        np.full_like(bad[CANDIDATE], kept.bad),
    )


def _possible(gate: Gate, arms: Arms, others_pass: _Flags, *, alpha: float, halvings: int) -> tuple[_Flags, _Flags]:
    """Return where a gate may fail, and where it may pass as the others may."""
    terms = rule_of(gate).terms()
    limit, least = terms.max_difference, terms.min_trials
    is_there = (arms.trials > 0) & (arms.baseline_trials > 0)
    own, other = arms.bad / np.maximum(arms.trials, 1), arms.baseline_bad / np.maximum(arms.baseline_trials, 1)
    is_above = own - other > limit
    has_enough = np.minimum(arms.trials, arms.baseline_trials) >= least
    is_open = is_there & (is_above | (others_pass & has_enough))
    low = np.clip(np.minimum(other, own - limit), _MIN_SHARE, 1 - limit - _MIN_SHARE)
    high = np.clip(np.maximum(other, own - limit), _MIN_SHARE, 1 - limit - _MIN_SHARE)
    # A pair in the set is between the two at which one arm is as observed; the martingale is convex there.
    for _ in range(halvings):
        left = np.flatnonzero(is_open)
        if not len(left):
            break
        share = (low[left] + high[left]) / 2
        value, slope = _log_twice_martingale(arms.at(left), share, limit)
        is_open[left] = value >= log(2 / alpha) - _EDGE
        low[left], high[left] = np.where(slope < 0, share, low[left]), np.where(slope < 0, high[left], share)
    return is_open & is_above, is_open & ~is_above


def _log_twice_martingale(arms: Arms, share: _Numbers, limit: float) -> tuple[_Numbers, _Numbers]:
    """Return the logarithm for pairs of the baseline's share and one that is the limit above it, and its slope."""
    own, own_slope = _log_martingale(arms.trials, arms.bad, share + limit)
    other, other_slope = _log_martingale(arms.baseline_trials, arms.baseline_bad, share)
    return own + np.logaddexp(0.0, other), own_slope + expit(other) * other_slope


def _log_martingale(trials: Counts, bad: Counts, share: _Numbers) -> tuple[_Numbers, _Numbers]:
    good = trials - bad
    of_half, of_one = _log_gammas()
    mixture = of_half[bad] + of_half[good] - of_one[trials] - _LOG_BETA_OF_PRIOR
    return mixture - bad * np.log(share) - good * np.log1p(-share), good / (1 - share) - bad / share


@cache
def _log_gammas() -> tuple[_Numbers, _Numbers]:
    """Return the logarithms of Gamma, half and one above the whole numbers; to look them up is faster."""
    numbers = np.arange(_MAX_TRIALS)
    return gammaln(numbers + 0.5), gammaln(numbers + 1.0)
