"""Which fault comes when: drawn from a seed, so that a run can be had again. Pure."""

import random
from collections.abc import Iterator
from typing import Literal, TypeAlias

import msgspec

Deed: TypeAlias = Literal["kill", "pause", "hang", "slow", "spoil"]

PROGRAMS = (
    "envoy",
    "follower",
    "agent",
    "api",
    "relay",
    "projections",
    "judge",
    "kafka",
    "clickhouse",
    "shipper",
    "autoscaler",
)
PAUSED_S = (2.0, 9.0)
# Callers wait at most 30 s, so that a gateway that stands still for this long fails no one.
SLOW_S = 12.0
ENGINE, SERVER = "engine", "server"
_DEEDS: tuple[tuple[Deed, str, int], ...] = (
    *(("kill", program, 2) for program in PROGRAMS),
    *(("pause", program, 1) for program in PROGRAMS),
    ("kill", ENGINE, 10),
    ("hang", ENGINE, 4),
    ("slow", ENGINE, 3),
    ("spoil", ENGINE, 3),
    ("kill", SERVER, 2),
    ("pause", SERVER, 1),
)


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """What is to happen; `draw` (0 to 1) chooses one where there are several of a target."""

    at_s: float
    deed: Deed
    target: str
    lasts_s: float = 0.0
    draw: float = 0.0

    def __str__(self) -> str:
        """Say it on one line."""
        lasting = f" for {self.lasts_s:.1f} s" if self.lasts_s else ""
        return f"{self.at_s:6.0f} s  {self.deed} {self.target}{lasting}"


def drawn(seed: int, *, seconds: float, every_s: float) -> Iterator[Fault]:
    """Draw a fault for every so many seconds; the same seed draws the same ones."""
    random_ = random.Random(seed)
    weights = [weight for *_, weight in _DEEDS]
    at_s = every_s
    while at_s < seconds:
        deed, target, _ = random_.choices(_DEEDS, weights)[0]
        lasts_s = {"pause": random_.uniform(*PAUSED_S), "slow": SLOW_S}.get(deed, 0.0)
        yield Fault(at_s=at_s, deed=deed, target=target, lasts_s=lasts_s, draw=random_.random())
        at_s += every_s
