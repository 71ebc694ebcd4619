"""Which rollouts are simulated: what their plan limits, how the candidate differs, and what surrounds both versions."""

from math import log
from statistics import NormalDist
from typing import Literal

import msgspec

from schemas.events.rollouts import Canary, CanaryStep, ErrorRateGate, Gate, LatencyGate, QualityGate

ALPHA = 0.05
LIMIT = 0.02
"""The allowed error of a whole rollout, and what each gate allows: those of the default plan."""

_THRESHOLD_MS = 350.0
_NORMAL = NormalDist()
_Z99 = _NORMAL.inv_cdf(0.99)
_TAIL = 0.5

_ERRORS = ErrorRateGate(max_increase=LIMIT, min_requests=500)
_LATENCY = LatencyGate(threshold_ms=_THRESHOLD_MS, max_increase=LIMIT, min_requests=500)
_QUALITY = QualityGate(feedback_name="label", max_drop=LIMIT, min_labels=200)

Plan = Literal["errors", "latency", "quality", "all"]
PLANS: dict[Plan, tuple[Gate, ...]] = {
    "errors": (_ERRORS,),
    "latency": (_LATENCY,),
    "quality": (_QUALITY,),
    "all": (_ERRORS, _LATENCY, _QUALITY),
}
"""The product adds `caller_error_rate` to each plan with `error_rate`."""


class Shares(msgspec.Struct, frozen=True, kw_only=True):
    """How a version answers: the shares of failed and wrong answers, and the median of log-normal times."""

    errors: float
    wrong: float
    median_ms: float


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """How a candidate differs from its baseline: in shares of requests, and by how often its 99th percentile.

    The percentile grows by the tail: the median stays.
    """

    errors: float = 0.0
    refused: float = 0.0
    slow: float = 0.0
    wrong: float = 0.0
    p99: float = 1.0


class Spells(msgspec.Struct, frozen=True, kw_only=True):
    """A state that comes and goes by chance: how long it lasts, and how long it stays away, on average."""

    last_s: float
    apart_s: float


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What both versions meet.

    Requests come at a rate that is correlated over a minute, and are usual ones or, for a while, hard ones. Now and
    then a caller at fault sends many requests that are refused. Where `callers` is given, each caller stays on one
    version and has shares of its own.
    """

    requests_per_s: float = 400.0
    look_ms: int = 1_000
    usual: Shares = Shares(errors=0.005, wrong=0.06, median_ms=100.0)
    hard: Shares = Shares(errors=0.02, wrong=0.14, median_ms=140.0)
    spells: Spells = Spells(last_s=60.0, apart_s=120.0)
    has_own_spells: bool = False
    refused: float = 0.03
    refused_in_bursts: float = 0.25
    bursts: Spells = Spells(last_s=10.0, apart_s=290.0)
    labelled: float = 0.9
    callers: int = 0


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """Rollouts that differ by chance alone. `counts_probes` counts health checks too, as the product once did."""

    name: str
    plan: Plan
    change: Change
    surroundings: Surroundings = Surroundings()
    counts_probes: bool = False

    @property
    def strategy(self) -> Canary:
        """The weights of the default canary, with durations that suit the traffic."""
        look_ms = self.surroundings.look_ms
        steps = tuple(
            CanaryStep(weight_percent=weight, min_duration_ms=120 * look_ms, max_duration_ms=600 * look_ms)
            for weight in (5.0, 25.0, 50.0, 100.0)
        )
        return Canary(steps=steps, bake_time_ms=120 * look_ms)


def slow_share(median_ms: float, *, p99: float = 1.0) -> float:
    """Return the share of answers above the plan's threshold, with the 99th percentile so many times as high."""
    return 1 - _NORMAL.cdf(log(_THRESHOLD_MS / median_ms) / (_TAIL + log(p99) / _Z99))


SAME = Change()
AT_THE_LIMIT = Change(errors=LIMIT, refused=LIMIT, slow=LIMIT, wrong=LIMIT)
BAD = {
    "errors +5 points": Change(errors=0.05),
    "accuracy -5 points": Change(wrong=0.05),
    "p99 twice as long": Change(p99=2.0),
}

UNCHANGED = tuple(Kind(name=f"{plan} alone, no change", plan=plan, change=SAME) for plan in PLANS if plan != "all")
DILUTED = Kind(
    name="errors, 5 points more errors, probes counted",
    plan="errors",
    change=BAD["errors +5 points"],
    counts_probes=True,
)


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Kinds with one traffic and all gates: sound ones, by which others are calibrated, and bad ones."""

    name: str
    unchanged: Kind
    at_the_limit: Kind
    bad: tuple[Kind, ...]


def compared(name: str, surroundings: Surroundings) -> Comparison:
    """Return the kinds that are compared with one traffic."""

    def kind(what: str, change: Change) -> Kind:
        return Kind(name=f"{name}, {what}", plan="all", change=change, surroundings=surroundings)

    return Comparison(
        name=name,
        unchanged=kind("no change", SAME),
        at_the_limit=kind("at the limit", AT_THE_LIMIT),
        bad=tuple(kind(what, change) for what, change in BAD.items()),
    )


BUSY = compared("400 requests/s", Surroundings())
QUIET = compared("40 requests/s", Surroundings(requests_per_s=40.0, look_ms=10_000))

# One version stalls now and then, or what both call fails, or few callers make most mistakes.
_OUTAGES = Surroundings(
    hard=Shares(errors=0.1, wrong=0.06, median_ms=100.0), spells=Spells(last_s=60.0, apart_s=1_140.0)
)
_STALLS = Surroundings(spells=Spells(last_s=20.0, apart_s=280.0), has_own_spells=True)
_STEADY = Surroundings(hard=Surroundings().usual, refused_in_bursts=Surroundings().refused)
_STICKY = Surroundings(callers=60)


def _both(name: str, surroundings: Surroundings) -> tuple[Kind, Kind]:
    unchanged = Kind(name=f"{name}, no change", plan="all", change=SAME, surroundings=surroundings)
    return unchanged, Kind(name=f"{name}, at the limit", plan="all", change=AT_THE_LIMIT, surroundings=surroundings)


INDEPENDENT = _both("nothing clusters", _STEADY)
CLUSTERED = (
    *INDEPENDENT,
    *_both("both fail together", _OUTAGES),
    *_both("each has spells of its own", _STALLS),
    *_both("60 callers, each on one version", _STICKY),
)
