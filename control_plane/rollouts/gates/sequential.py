"""An interval for the difference of two shares that holds at every look, as a function of cumulative counts only.

Per arm, K(p) = (beta-binomial likelihood of the counts) / (binomial likelihood at p) with Jeffreys' prior is, at the
true p, a non-negative martingale that starts at 1 (Robbins 1970, "Statistical methods related to the law of the
iterated logarithm"; Howard, Ramdas, McAuliffe and Sekhon 2021, "Time-uniform, nonparametric, nonasymptotic confidence
sequences"; Kaufmann and Koolen 2021, "Mixture martingales revisited"). The two arms are independent given who was
assigned where, so K_c and K_c * K_b are martingales too, in whatever order the arms are observed, and so is their mean

    M(p_c, p_b) = K_c(p_c) * (1 + K_b(p_b)) / 2.

By Ville's inequality M reaches 1/alpha at the true pair with probability at most alpha over all looks together. The
interval is the range of p_c - p_b over the pairs with M < 1/alpha. A plain union of two intervals at alpha/2 cuts
where K_c = 2/alpha or K_b = 2/alpha; M >= K_c/2, so the candidate's side is never wider than that, and pairs in which
both arms are improbable are cut as well, which saves about a fifth of the data, and more with even arms.
"""

from collections.abc import Callable
from math import exp, lgamma, log, log1p, sqrt

import msgspec

from schemas.events.rollouts import Counts

_LOG_BETA_OF_PRIOR = 2 * lgamma(0.5)
_HALVINGS = 60
_RELATIVE_RESOLUTION = 1e-12


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """Candidate's share minus baseline's share: the observed one, and bounds that hold at any time."""

    estimate: float
    lower: float
    upper: float


class _Arm(msgspec.Struct, frozen=True):
    trials: int
    bad: int
    log_mixture: float

    @property
    def share(self) -> float:
        return self.bad / self.trials

    def log_martingale(self, share: float) -> float:
        """Log K(share): how much better the mixture explains the counts than this share does."""
        return self.log_mixture - _times_log(self.bad, share) - _times_log1p(self.trials - self.bad, -share)

    def slope(self, share: float) -> float:
        """The derivative of `log_martingale`; it grows with the share and is 0 at the observed one."""
        bad = self.bad / share if self.bad else 0.0
        good = self.trials - self.bad
        return (good / (1 - share) if good else 0.0) - bad

    def share_of_slope(self, slope: float) -> float:
        """The share at which `log_martingale` has this positive slope: a root of s·p² + (n - s)·p - k = 0."""
        gap = self.trials - slope
        root = sqrt(gap * gap + 4 * slope * self.bad)
        return min(1.0, 2 * self.bad / (gap + root) if gap > 0 else (root - gap) / (2 * slope))


def bound_difference(candidate: Counts, baseline: Counts, *, alpha: float) -> Difference:
    """Bound candidate share bad minus baseline share bad at level 1 - alpha; both arms need a trial."""
    limit = log(2 / alpha)
    highest = _highest_difference(_arm(candidate), _arm(baseline), limit)
    lowest = -_highest_difference(_arm(_turned(candidate)), _arm(_turned(baseline)), limit)
    estimate = candidate.bad / candidate.trials - baseline.bad / baseline.trials
    return Difference(estimate=estimate, lower=max(-1.0, lowest), upper=min(1.0, highest))


def _highest_difference(candidate: _Arm, baseline: _Arm, limit: float) -> float:
    """Walk along the pairs that are extreme for their M (Lagrange's condition) to the one with log 2M = limit.

    Lowering the baseline's share raises the multiplier, and with it the candidate's share and M, so the walk is
    one bisection.
    """
    if baseline.bad == 0:
        remaining = limit - _softplus(baseline.log_martingale(0.0))
        return _highest_share(candidate, remaining)

    def pair(share: float) -> tuple[float, float]:
        log_martingale = baseline.log_martingale(share)
        multiplier = -_sigmoid(log_martingale) * baseline.slope(share)
        above = candidate.share_of_slope(multiplier) if multiplier > 0 else candidate.share
        return above, candidate.log_martingale(above) + _softplus(log_martingale)

    lowest = _bisect(lambda share: pair(share)[1] < limit, inside=baseline.share, outside=0.0)
    # K_b is infinite at 0, so 0 only comes back where the edge lies below what a float can resolve.
    return pair(lowest)[0] - lowest if lowest > 0 else _highest_share(candidate, limit)


def _highest_share(arm: _Arm, limit: float) -> float:
    return _bisect(lambda share: arm.log_martingale(share) < limit, inside=arm.share, outside=1.0)


def _bisect(is_inside: Callable[[float], bool], *, inside: float, outside: float) -> float:
    """Return the edge between the two, from its outer side, so that rounding can only widen the interval."""
    for _ in range(_HALVINGS):
        middle = (inside + outside) / 2
        if is_inside(middle):
            inside = middle
        else:
            outside = middle
        if abs(outside - inside) <= _RELATIVE_RESOLUTION * middle:
            break
    return outside


def _arm(counts: Counts) -> _Arm:
    bad, good = counts.bad, counts.trials - counts.bad
    log_mixture = lgamma(bad + 0.5) + lgamma(good + 0.5) - lgamma(counts.trials + 1) - _LOG_BETA_OF_PRIOR
    return _Arm(counts.trials, bad, log_mixture)


def _turned(counts: Counts) -> Counts:
    return Counts(trials=counts.trials, bad=counts.trials - counts.bad)


def _times_log(count: int, share: float) -> float:
    if count == 0:
        return 0.0
    return count * log(share) if share > 0 else float("-inf")


def _times_log1p(count: int, share: float) -> float:
    if count == 0:
        return 0.0
    return count * log1p(share) if share > -1 else float("-inf")


def _softplus(value: float) -> float:
    return value + log1p(exp(-value)) if value > 0 else log1p(exp(value))


def _sigmoid(value: float) -> float:
    return 1 / (1 + exp(-value)) if value > 0 else exp(value) / (1 + exp(value))
