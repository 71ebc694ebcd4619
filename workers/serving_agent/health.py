"""What probes say about an instance, and when it has to leave rotation. Pure: outcomes in, a verdict out.

Faults are counted among the last probes and not in a row, and the probe after a fault follows after a random time:
otherwise an instance with intermittent faults could be probed in its good moments only, and stay.
"""

from typing import Literal, TypeAlias

import msgspec

_LOOK_AGAIN_S = (0.1, 0.6)
_LOOKS_A_FAULT = 2
_SHARE_OF_TIME = 20
_MAX_PAUSE_S = 60.0
_MAX_BUSY_PER_FAULT = 10
"""An engine that works through its queue sometimes accepts a golden input; one that hangs with a full queue never."""

SicknessCode: TypeAlias = Literal["instance-hung", "instance-slow", "golden-answer-wrong"]


class HealthRules(msgspec.Struct, frozen=True, kw_only=True):
    """A probe without an answer after `timeout_s` is a fault, and so is one that took longer than `slow_after_s`.

    `faults` of them among the last `looks` probes make an instance unhealthy. `interval_s` is the time between two
    probes.
    """

    interval_s: float
    timeout_s: float
    slow_after_s: float
    faults: int

    @property
    def looks(self) -> int:
        """How far back a fault counts."""
        return _LOOKS_A_FAULT * self.faults


class Right(msgspec.Struct, frozen=True):
    """The answer is the expected one."""

    took_s: float


class Wrong(msgspec.Struct, frozen=True):
    """The answer is not the expected one or, with `is_fault`, the engine failed."""

    reason: str
    is_fault: bool = False


class Silent(msgspec.Struct, frozen=True):
    """No answer came in time."""

    reason: str


class Busy(msgspec.Struct, frozen=True):
    """The engine rejected the probe because of its load."""


class Unsure(msgspec.Struct, frozen=True):
    """Nothing can be concluded: the agent itself was delayed."""


Outcome: TypeAlias = Right | Wrong | Silent | Busy | Unsure


class Sickness(msgspec.Struct, frozen=True):
    """Why an instance leaves rotation; `is_in_log` if the engine's log may say more than the reason."""

    code: SicknessCode
    reason: str
    is_in_log: bool = False


class Health(msgspec.Struct, frozen=True):
    """Which of the last probes were faults, the newest last; how many in a row were rejected because of load."""

    recent: tuple[bool, ...] = ()
    busy: int = 0
    last: Sickness | None = None

    @property
    def faults(self) -> int:
        """How many of the last probes were faults."""
        return sum(self.recent)

    @property
    def is_at_fault(self) -> bool:
        """Whether the newest probe was a fault."""
        return self.recent[-1:] == (True,)


def observe(health: Health, outcome: Outcome, rules: HealthRules) -> Health:
    """Fold the outcome of a probe."""
    if isinstance(outcome, Unsure):
        return health
    if isinstance(outcome, Busy):
        return msgspec.structs.replace(health, busy=health.busy + 1)
    fault = _fault(outcome, rules)
    recent = (*health.recent, fault is not None)[-rules.looks :]
    return Health(recent=recent, last=fault or (health.last if any(recent) else None))


def sickness(health: Health, rules: HealthRules, *, has_healthy_sibling: bool) -> Sickness | None:
    """Return why the instance has to leave rotation, or None while it may stay.

    An instance that is merely slow stays if no other could take its traffic: a slow answer is better than none, and a
    load that slows all of them must not remove one after the other.
    """
    if health.busy >= rules.faults * _MAX_BUSY_PER_FAULT:
        reason = f"it rejected the golden input as overloaded {health.busy} times in a row"
        return Sickness("instance-hung", reason, is_in_log=True)
    last = health.last
    if last is None or not health.is_at_fault or health.faults < rules.faults:
        return None
    if last.code == "instance-slow" and not has_healthy_sibling:
        return None
    reason = f"{last.reason}; {health.faults} of the last {len(health.recent)} probes failed"
    return msgspec.structs.replace(last, reason=reason)


def pause_before_next_s(health: Health, outcome: Outcome, rules: HealthRules, *, draw: float) -> float:
    """Return when to probe next: soon after a fault, because callers wait for the verdict. `draw` is from 0 to 1.

    Otherwise so that probes cost little: a slow golden input, such as a language model's, is sent less often.
    """
    if health.is_at_fault and health.faults < rules.faults:
        min_s, max_s = _LOOK_AGAIN_S
        return min(min_s + draw * (max_s - min_s), rules.interval_s)
    took_s = outcome.took_s if isinstance(outcome, Right) else 0.0
    return max(rules.interval_s, min(_SHARE_OF_TIME * took_s, _MAX_PAUSE_S))


def _fault(outcome: Right | Wrong | Silent, rules: HealthRules) -> Sickness | None:
    match outcome:
        case Wrong(reason, is_fault):
            return Sickness("golden-answer-wrong", reason, is_in_log=is_fault)
        case Silent(reason):
            return Sickness("instance-hung", reason, is_in_log=True)
        case Right(took_s) if took_s >= rules.slow_after_s:
            return Sickness("instance-slow", f"the golden input took {took_s:.2f} s, at most {rules.slow_after_s:g} s")
        case Right():
            return None
