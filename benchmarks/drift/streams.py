"""Months of raw rows through the whole monitor, beside months whose means of scores were drawn directly."""

from collections.abc import Iterator

import msgspec
import numpy as np

from benchmarks.drift.kinds import ROWS, WINDOWS, Kind, drawn, layout_of
from benchmarks.drift.months import NO_CHANGE_IS_ALLOWED, Block, Design
from workers.drift_watch.evidence import weighted
from workers.drift_watch.reference import Features, fit_reference
from workers.drift_watch.scores import Floats
from workers.drift_watch.settings import HOUR_MS
from workers.drift_watch.watch import fold, start
from workers.drift_watch.windows import FeatureWindow

DESIGN = Design(days=7)
KIND = Kind(name="rows alike, AR(1) 0.6", rows_alike=0.6)
FEATURES = 10
_BINS_PER_SD = 16


class Statistics(msgspec.Struct, frozen=True, kw_only=True):
    """Of some months: the design effect fitted to locations (mean), and the highest log M of each."""

    design_effect: float
    highest: list[float]


def raw(*, months: int, seed: int) -> Statistics:
    """Draw rows of 10 numeric features as normal AR(1) processes, and fold their histograms."""
    effects: list[float] = []
    highest: list[float] = []
    for month in range(months):
        before = DESIGN.days * 24
        every = list(windows(seed + month, features=FEATURES, hours=before + WINDOWS))
        reference = fit_reference(every[:before], NO_CHANGE_IS_ALLOWED)
        dependence = reference.moments.dependence
        assert dependence is not None, "seven days are enough windows"
        of_location = [score.kind == "location" for score in reference.scores]
        effects.append(float(dependence.tau[0, of_location].mean()))
        state, most = start(reference), 0.0
        for window in every[before:]:
            state = fold(state, window)
            most = max(most, float(weighted(state.evidence, reference.weights).sum()))
        highest.append(float(np.log(most)))
    return Statistics(design_effect=float(np.mean(effects)), highest=highest)


def direct(*, months: int, seed: int) -> Statistics:
    """Draw the means of the same scores directly."""
    layout = layout_of(KIND, reference_rows=DESIGN.days * 24 * ROWS)
    features = [f"number {2 * at + 1}" for at in range(FEATURES)]
    chosen = [at for at, score in enumerate(layout.scores) if score.feature in features]
    shares = np.where(np.array([layout.scores[at].kind == "missing" for at in chosen]), 0.0, layout.shares[chosen])
    small = msgspec.structs.replace(
        layout,
        scores=tuple(layout.scores[at] for at in chosen),
        shares=shares,
        features_of_model=FEATURES,
        scores_of_model=len(chosen),
    )
    before = DESIGN.days * 24
    hours = drawn(KIND, small, np.random.default_rng(seed), hours=before + WINDOWS, months=months)
    block = Block(small, DESIGN, hours[:before], hours[before:])
    dependence = block.moments.dependence
    assert dependence is not None, "seven days are enough windows"
    of_location = [score.kind == "location" for _ in range(months) for score in small.scores]
    return Statistics(
        design_effect=float(dependence.tau[0, of_location].mean()),
        highest=[float(each) for each in np.log(block.follow(NO_CHANGE_IS_ALLOWED).highest)],
    )


def windows(seed: int, *, features: int, hours: int) -> Iterator[Features]:
    """Draw the summaries of rows that are AR(1) processes."""
    rng = np.random.default_rng(seed)
    last = rng.standard_normal(features)
    for hour in range(hours):
        rows = rng.standard_normal((ROWS, features)) * np.sqrt(1 - KIND.rows_alike**2)
        rows[0] += KIND.rows_alike * last
        for at in range(1, ROWS):
            rows[at] += KIND.rows_alike * rows[at - 1]
        last = rows[-1]
        yield {f"number {at}": _summary(hour, rows[:, at]) for at in range(features)}


def _summary(hour: int, values: Floats) -> FeatureWindow:
    keys, counts = np.unique(np.floor(values * _BINS_PER_SD).astype(np.int64), return_counts=True)
    bins = dict(zip(keys.tolist(), counts.tolist(), strict=True))
    return FeatureWindow(started_at_ms=hour * HOUR_MS, values=len(values), bins=bins)
