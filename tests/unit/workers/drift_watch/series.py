"""Windows for the tests: seeded draws, summarised as the view does."""

from collections.abc import Mapping

import numpy as np

from workers.drift_watch.reference import Features
from workers.drift_watch.scores import Floats
from workers.drift_watch.settings import HOUR_MS
from workers.drift_watch.windows import FeatureWindow

BINS_PER_UNIT = 16


def numbers(values: Floats, *, hour: int = 0, missing: int = 0, infinite: int = 0) -> FeatureWindow:
    keys, counts = np.unique(np.floor(values * BINS_PER_UNIT).astype(np.int64), return_counts=True)
    bins = dict(zip(keys.tolist(), counts.tolist(), strict=True))
    return FeatureWindow(
        started_at_ms=hour * HOUR_MS, values=len(values), missing=missing, infinite=infinite, bins=bins
    )


def texts(categories: Mapping[str, int], *, hour: int = 0, missing: int = 0) -> FeatureWindow:
    return FeatureWindow(
        started_at_ms=hour * HOUR_MS, values=sum(categories.values()), missing=missing, categories=categories
    )


def normal_hours(hours: range, *, seed: int, rows: int = 200, shift: float = 0.0) -> list[Features]:
    rng = np.random.default_rng(seed)
    return [{"amount": numbers(rng.normal(shift, 1, rows), hour=hour)} for hour in hours]
