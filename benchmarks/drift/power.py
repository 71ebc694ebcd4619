"""How soon a change of one of 50 features is found. The other 49 are left out: what they add could only hasten it."""

from collections.abc import Iterator

import msgspec
import numpy as np
from scipy import stats

from benchmarks.drift.kinds import ROWS, WINDOWS, Layout
from benchmarks.drift.months import WITH_DEFAULTS, Block, Design
from workers.drift_watch.scores import Floats, Kind, Score
from workers.drift_watch.settings import Settings

DESIGN = Design(days=14)
_POINTS = 20_000


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What changes: standard deviations of a shift and of a normal feature, or shares."""

    name: str
    shift: float = 0.0
    scale: float = 1.0
    missing: tuple[float, float] = (0.0, 0.0)
    category: tuple[float, float] | None = None


CHANGES = (
    Change(name="shift by 0.1 sd", shift=0.1),
    Change(name="shift by 0.2 sd", shift=0.2),
    Change(name="shift by 0.5 sd", shift=0.5),
    Change(name="shift by 1 sd", shift=1.0),
    Change(name="scale × 1.5", scale=1.5),
    Change(name="missing 0 to 2 %", missing=(0.0, 0.02)),
    Change(name="a category from 20 to 25 %", category=(0.2, 0.25)),
)


class Law(msgspec.Struct, frozen=True):
    """Mean and variance of one row's score."""

    mean: float
    variance: float


def hours_to_alarm(change: Change, *, runs: int, seed: int, settings: Settings = WITH_DEFAULTS) -> list[float]:
    """Return after how many hours each run has its alarm; infinite where the month ends before."""
    rng = np.random.default_rng(seed)
    before, after = list(_laws(change, is_changed=False)), list(_laws(change, is_changed=True))
    layout = Layout(
        tuple(Score("changing", kind, category) for kind, category, _ in before),
        np.array([law.mean if kind not in {"location", "spread"} else np.nan for kind, _, law in before]),
    )
    reference = _drawn(before, layout, rng, (DESIGN.days * 24, runs))
    alarmed_in = (
        Block(layout, DESIGN, reference, _drawn(after, layout, rng, (WINDOWS, runs))).follow(settings).alarmed_in
    )
    return [float(each + 1) if each >= 0 else float("inf") for each in alarmed_in]


def _laws(change: Change, *, is_changed: bool) -> Iterator[tuple[Kind, str, Law]]:
    if change.category is not None:
        share = change.category[is_changed]
        yield "category", "growing", _law_of_share(share)
        for name, part in (("largest", 0.5), ("second", 0.25), ("third", 0.05)):
            yield "category", name, _law_of_share(part * (1 - share) / (1 - change.category[0]))
        yield "new", "", _law_of_share(0.0)
    else:
        yield from _laws_of_numbers(change, is_changed=is_changed)
    yield "missing", "", _law_of_share(change.missing[is_changed])


def _laws_of_numbers(change: Change, *, is_changed: bool) -> Iterator[tuple[Kind, str, Law]]:
    quantiles = stats.norm.ppf((np.arange(_POINTS) + 0.5) / _POINTS)
    values = change.shift + change.scale * quantiles if is_changed else quantiles
    ranks = stats.norm.cdf(values)
    yield "location", "", Law(float(ranks.mean()), float(ranks.var()))
    spread = np.abs(2 * ranks - 1)
    yield "spread", "", Law(float(spread.mean()), float(spread.var()))
    edge = 1 / (DESIGN.days * 24 * ROWS)
    yield "outside", "", _law_of_share(float(((ranks < edge) | (ranks > 1 - edge)).mean()))


def _law_of_share(share: float) -> Law:
    return Law(share, share * (1 - share))


def _drawn(
    laws: list[tuple[Kind, str, Law]], layout: Layout, rng: np.random.Generator, shape: tuple[int, int]
) -> Floats:
    """Draw the scores' means, independently of each other."""
    columns = [
        rng.binomial(ROWS, law.mean, shape) / ROWS
        if is_share
        else rng.normal(law.mean, np.sqrt(law.variance / ROWS), shape)
        for (_, _, law), is_share in zip(laws, layout.is_share, strict=True)
    ]
    return np.stack(columns, axis=-1)
