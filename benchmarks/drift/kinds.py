"""Traffic of a model whose features do not change, as means of scores per hour.

A month of 50 features at 200 rows an hour has 7 million values. Only the means of scores matter to a monitor, so these
are drawn directly: those of location and spread as normal, with the variance that rows and hours give them, those of
shares as binomial, among fewer rows where rows resemble each other. Ranks among the rows of a reference differ from
those in the population only by how far the reference is off, which is the error of the reference's own mean: that is
Hoeffding's projection of the Mann-Whitney statistic. `streams.py` checks that raw rows behave alike.
"""

import msgspec
import numpy as np
import numpy.typing as npt

from workers.drift_watch.scores import Floats, Score

ROWS = 200
WINDOWS = 720
NUMERIC, TEXTS = 40, 10
SHARES = (0.4, 0.25, 0.15, 0.1, 0.06, 0.04)
_OMEGA = 0.02
"""How much hours differ where they do: as much as 200 independent rows do."""
_DEGREES = 3


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """How rows and hours hang together.

    `rows_alike` and `hours_alike` are lag-1 autocorrelations of AR(1) processes, of rows and of hours; `omega` is the
    standard deviation of hours' means beyond their rows, `daily` the amplitude of a curve by the hour. Hours are drawn
    from Student's t with 3 degrees of freedom if `is_heavy`.
    """

    name: str
    rows_alike: float = 0.0
    hours_alike: float = 0.0
    omega: float = 0.0
    daily: float = 0.0
    is_heavy: bool = False
    is_sparse: bool = False

    @property
    def design_effect(self) -> float:
        """Return how many rows of the AR(1) process say as much as an independent one."""
        return (1 + self.rows_alike) / (1 - self.rows_alike)


KINDS = (
    Kind(name="independent rows"),
    Kind(name="rows alike, AR(1) 0.3", rows_alike=0.3),
    Kind(name="rows alike, AR(1) 0.6", rows_alike=0.6),
    Kind(name="hours alike, AR(1) 0.3", hours_alike=0.3, omega=_OMEGA),
    Kind(name="hours alike, AR(1) 0.6", hours_alike=0.6, omega=_OMEGA),
    Kind(name="rows and hours alike, AR(1) 0.6", rows_alike=0.6, hours_alike=0.6, omega=_OMEGA),
    Kind(name="a daily shape", daily=0.05),
    Kind(name="heavy-tailed hours", omega=_OMEGA / 2, is_heavy=True),
    Kind(name="sparse indicators", is_sparse=True),
)


class Layout(msgspec.Struct, frozen=True, eq=False):
    """The scores of a model, and the shares of those that are indicators; NaN for the others.

    Only those are drawn that matter; the whole model has so many features and scores.
    """

    scores: tuple[Score, ...]
    shares: Floats
    features_of_model: int = NUMERIC + TEXTS
    scores_of_model: int = 4 * NUMERIC + 8 * TEXTS

    @property
    def is_share(self) -> npt.NDArray[np.bool_]:
        return ~np.isnan(self.shares)


def layout_of(kind: Kind, *, reference_rows: int) -> Layout:
    """Return 40 numeric features and 10 of text; half of them are never missing if indicators are sparse."""
    scores: list[tuple[Score, float]] = []
    for at in range(NUMERIC):
        name, missing = f"number {at}", (0.0 if at % 2 else 0.001) if kind.is_sparse else (0.001 if at % 2 else 0.01)
        scores += [(Score(name, "location"), np.nan), (Score(name, "spread"), np.nan)]
        scores += [(Score(name, "outside"), 2 / reference_rows), (Score(name, "missing"), missing)]
    shares = (0.5, 0.47, 0.01, 0.01, 0.005, 0.005) if kind.is_sparse else SHARES
    for at in range(TEXTS):
        name = f"text {at}"
        scores += [(Score(name, "category", str(each)), share) for each, share in enumerate(shares)]
        scores += [(Score(name, "new"), 0.0005), (Score(name, "missing"), 0.001)]
    return Layout(tuple(score for score, _ in scores), np.array([share for _, share in scores]))


def drawn(kind: Kind, layout: Layout, rng: np.random.Generator, *, hours: int, months: int) -> Floats:
    """Draw means of shape (hours, months, scores), from a Thursday at midnight on."""
    shape = (hours, months, len(layout.scores))
    deviations = _of_hours(kind, rng, shape) + kind.daily * np.sin(2 * np.pi * np.arange(hours) / 24)[:, None, None]
    means = 0.5 + deviations
    ranks = ~layout.is_share
    noise = np.sqrt(kind.design_effect / (12 * ROWS))
    means[..., ranks] += noise * rng.standard_normal((*shape[:2], int(ranks.sum())))
    shares, some = layout.shares[layout.is_share], deviations[..., layout.is_share]
    independent = round(ROWS / kind.design_effect)
    # The odds change by 4 times what a rank changes: about as much for a share of a half, in proportion for rare ones.
    odds = shares / (1 - shares) * np.exp(4 * some)
    means[..., layout.is_share] = rng.binomial(independent, odds / (1 + odds)) / independent
    clipped: Floats = np.clip(means, 0.0, 1.0)
    return clipped


def reference_of_file(layout: Layout, rng: np.random.Generator, *, rows: int, months: int) -> Floats:
    """Draw the means of files with independent rows, shape (1, months, scores)."""
    shape = (1, months, len(layout.scores))
    means = 0.5 + rng.standard_normal(shape) / np.sqrt(12 * rows)
    means[..., layout.is_share] = rng.binomial(rows, np.broadcast_to(layout.shares, shape)[..., layout.is_share]) / rows
    return np.asarray(means, dtype=np.float64)


def _of_hours(kind: Kind, rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    if kind.omega == 0:
        return np.zeros(shape)
    if kind.is_heavy:
        return np.asarray(kind.omega * rng.standard_t(_DEGREES, shape) / np.sqrt(_DEGREES / (_DEGREES - 2)))
    hours = kind.omega * rng.standard_normal(shape)
    for at in range(1, shape[0]):
        hours[at] = kind.hours_alike * hours[at - 1] + np.sqrt(1 - kind.hours_alike**2) * hours[at]
    return np.asarray(hours, dtype=np.float64)
