"""Watches whether a model is wrong more often than in the reference, among predictions that have a label."""

import msgspec

from workers.drift_watch.detectors.base import SeriesDetector
from workers.drift_watch.errors import DriftWatchError
from workers.drift_watch.reference import Features
from workers.drift_watch.settings import Settings
from workers.drift_watch.windows import FeatureWindow

PREDICTION, WRONG, RIGHT = "prediction", "wrong", "right"
DEFAULT_SETTINGS = Settings(bad_categories=(WRONG,))


class LabelledWindow(msgspec.Struct, frozen=True, kw_only=True):
    """How many predictions of a window have a label, and how many of these are wrong."""

    started_at_ms: int
    labelled: int
    wrong: int

    @property
    def features(self) -> Features:
        """Return the predictions as a feature that is wrong or right."""
        counts = {WRONG: self.wrong, RIGHT: self.labelled - self.wrong}
        return {PREDICTION: FeatureWindow(started_at_ms=self.started_at_ms, values=self.labelled, categories=counts)}


def concept_drift(settings: Settings = DEFAULT_SETTINGS) -> SeriesDetector[LabelledWindow]:
    """Return the detector. Raises DriftWatchError for settings that do not watch wrong predictions."""
    if settings.bad_categories != (WRONG,):
        raise DriftWatchError(f'concept drift is a rise of "{WRONG}" predictions')
    return SeriesDetector(settings)
