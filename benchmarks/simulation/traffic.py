"""What callers are answered during a rollout, drawn as far as somebody looks: counts of both arms at each look."""

from math import exp
from zlib import crc32

import numpy as np
import numpy.typing as npt
from scipy.signal import lfilter

from benchmarks.simulation.kinds import Change, Kind, Shares, Spells, Surroundings, slow_share
from schemas.measurement import Arm

CANDIDATE, BASELINE = 0, 1
NAMES = ("requests", "errors", "refused", "slow", "labelled", "wrong")
_OF_LABELS = ("labelled", "wrong")

Counts = npt.NDArray[np.int64]
_Flags = npt.NDArray[np.bool_]
_Numbers = npt.NDArray[np.float64]

_LOOKS_AT_ONCE = 150
_LABELS_COME_AFTER_MS = 30_000
_RATE_SPREAD, _RATE_MEMORY_MS = 0.3, 60_000
_PROBES_PER_S = 12.0
_PARETO = 1.5
_OF_CALLERS = 1_000


class Rollout:
    """All traffic of one rollout, the same for whoever decides on it."""

    def __init__(self, kind: Kind, *, seed: int, number: int) -> None:
        self.kind = kind
        self._seed = [seed, crc32(kind.name.encode()), number]
        self._callers = _Callers(self._chance(_OF_CALLERS), kind.surroundings.callers)
        self._steps: dict[int, StepTraffic] = {}

    def step(self, number: int, *, weight: float) -> "StepTraffic":
        """Return the traffic of a step in which the candidate has this share of the callers or requests."""
        if number not in self._steps:
            volume, trouble = self._callers.of_arms(weight)
            self._steps[number] = StepTraffic(self.kind, self._chance(number), volume=volume, trouble=trouble)
        return self._steps[number]

    def _chance(self, part: int) -> np.random.Generator:
        return np.random.Generator(np.random.PCG64(np.random.SeedSequence([*self._seed, part])))


class StepTraffic:
    """The traffic of one step. `counts[name][arm, looks]` is cumulative, up to `drawn` looks."""

    def __init__(self, kind: Kind, chance: np.random.Generator, *, volume: _Numbers, trouble: _Numbers) -> None:
        self._chance = chance
        self._surroundings = kind.surroundings
        self.look_ms = kind.surroundings.look_ms
        self._volume = volume * kind.surroundings.requests_per_s * self.look_ms / 1000
        self._memory = exp(-self.look_ms / _RATE_MEMORY_MS)
        self._shares = _shares_of_arms(kind.surroundings, kind.change, trouble=trouble)
        self._counts_probes = kind.counts_probes
        self._log_rate = float(chance.normal(0.0, _RATE_SPREAD))
        arms = 2 if kind.surroundings.has_own_spells else 1
        self._is_hard = [_begins(chance, kind.surroundings.spells) for _ in range(arms)]
        self._is_burst = [_begins(chance, kind.surroundings.bursts)]
        self.drawn = 0
        late = _LABELS_COME_AFTER_MS // self.look_ms
        self.counts: dict[str, Counts] = {
            name: np.zeros((2, 1 + (late if name in _OF_LABELS else 0)), np.int64) for name in NAMES
        }

    def reach(self, looks: int) -> None:
        """Draw the traffic at least up to this look."""
        while self.drawn < looks:
            for name, drawn in self._drawn().items():
                before = self.counts[name]
                self.counts[name] = np.concatenate((before, before[:, -1:] + np.cumsum(drawn, axis=1)), axis=1)
            self.drawn += _LOOKS_AT_ONCE

    def arm(self, arm: int, looks: int) -> Arm:
        """Return what the view of measurements would count of an arm."""
        return Arm(**{name: int(self.counts[name][arm, looks]) for name in NAMES})

    def _drawn(self) -> dict[str, Counts]:
        chance = self._chance
        rate = self._volume[:, None] * self._rate()
        hard = _spells(chance, self._surroundings.spells, self._is_hard, look_ms=self.look_ms).astype(np.intp)
        burst = _spells(chance, self._surroundings.bursts, self._is_burst, look_ms=self.look_ms).astype(np.intp)
        arm = np.array([[0], [1]])
        errors_share, wrong_share, slow_ = (self._shares[name][arm, hard] for name in ("errors", "wrong", "slow"))
        requests = chance.poisson(rate)
        errors = chance.binomial(requests, errors_share)
        refused = chance.binomial(requests - errors, self._shares["refused"][arm, burst])
        slow = chance.binomial(requests, slow_)
        labelled = chance.binomial(requests - errors - refused, self._surroundings.labelled)
        wrong = chance.binomial(labelled, wrong_share)
        if self._counts_probes:
            requests = requests + self._probes()
        return dict(zip(NAMES, (requests, errors, refused, slow, labelled, wrong), strict=True))

    def _rate(self) -> _Numbers:
        """Return how the rate goes around its mean: log-normal, correlated over a minute."""
        noise = self._chance.normal(0.0, _RATE_SPREAD * (1 - self._memory**2) ** 0.5, _LOOKS_AT_ONCE)
        log_rate, _ = lfilter([1.0], [1.0, -self._memory], noise, zi=[self._memory * self._log_rate])
        self._log_rate = float(log_rate[-1])
        rate: _Numbers = np.exp(log_rate - _RATE_SPREAD**2 / 2)
        return rate

    def _probes(self) -> Counts:
        """Return the health checks and the requests for metadata, which each arm answers whatever its weight."""
        return self._chance.poisson(_PROBES_PER_S * self.look_ms / 1000, (2, _LOOKS_AT_ONCE))


class _Callers:
    """Callers that stay on one arm, or none that do."""

    def __init__(self, chance: np.random.Generator, count: int) -> None:
        volume = chance.pareto(_PARETO, count) + 0.1
        self._volume = volume / volume.sum() if count else volume
        self._place = chance.random(count)
        self._trouble = chance.gamma(0.5, 2.0, count)

    def of_arms(self, weight: float) -> tuple[_Numbers, _Numbers]:
        """Return each arm's share of the requests, and how many times the usual trouble its callers have."""
        if not len(self._volume):
            return np.array([weight, 1 - weight]), np.ones(2)
        sides = np.array([self._place < weight, self._place >= weight])
        volume = sides @ self._volume
        trouble = sides @ (self._volume * self._trouble)
        return volume, trouble / np.maximum(volume, 1e-12)


def _shares_of_arms(around: Surroundings, change: Change, *, trouble: _Numbers) -> dict[str, _Numbers]:
    """Return the shares of each arm, by the state of what they depend on: usual or hard, no burst or burst."""

    def of(usual: tuple[float, float], added: float) -> _Numbers:
        shares = trouble[:, None] * np.array([usual, usual]) + np.array([[added], [0.0]])
        limited: _Numbers = np.minimum(shares, 0.95)
        return limited

    both: tuple[Shares, Shares] = (around.usual, around.hard)
    slow = np.array([[slow_share(each.median_ms, p99=p99) for each in both] for p99 in (change.p99, 1.0)])
    return {
        "errors": of((around.usual.errors, around.hard.errors), change.errors),
        "wrong": of((around.usual.wrong, around.hard.wrong), change.wrong),
        "refused": of((around.refused, around.refused_in_bursts), change.refused),
        "slow": slow + np.array([[change.slow], [0.0]]),
    }


def _begins(chance: np.random.Generator, spells: Spells) -> bool:
    return bool(chance.random() < spells.last_s / (spells.last_s + spells.apart_s))


def _spells(chance: np.random.Generator, spells: Spells, states: list[bool], *, look_ms: int) -> _Flags:
    """Return at which looks the state is on, a row each, and leave in `states` how they end.

    What is left of a spell has the same distribution as a whole one, so each stretch of looks may draw anew.
    """
    rows = []
    for row, begins in enumerate(states):
        flags, at, is_on = np.zeros(_LOOKS_AT_ONCE, np.bool_), 0, begins
        while at < _LOOKS_AT_ONCE:
            lasts = int(chance.geometric(min(1.0, look_ms / 1000 / (spells.last_s if is_on else spells.apart_s))))
            flags[at : at + lasts] = is_on
            at, is_on = at + lasts, not is_on
        states[row] = bool(flags[-1])
        rows.append(flags)
    return np.array(rows)
