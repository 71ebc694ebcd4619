"""Watches whether the true labels are still distributed as they were in the reference."""

import msgspec

from schemas.events.monitors import Bounds
from workers.drift_watch.detectors.base import SeriesDetector
from workers.drift_watch.reference import Features
from workers.drift_watch.settings import Settings
from workers.drift_watch.windows import FeatureWindow

LABEL = "label"
DEFAULT_SETTINGS = Settings(bounds=Bounds(category=0.02))


class LabelWindow(msgspec.Struct, frozen=True, kw_only=True):
    """How often each label was given in a window, by the time of the predictions."""

    started_at_ms: int
    labels: dict[str, int]

    @property
    def features(self) -> Features:
        """Return the labels as one feature."""
        values = sum(self.labels.values())
        return {LABEL: FeatureWindow(started_at_ms=self.started_at_ms, values=values, categories=self.labels)}


def label_shift(settings: Settings = DEFAULT_SETTINGS) -> SeriesDetector[LabelWindow]:
    """Return the detector."""
    return SeriesDetector(settings)
