"""Watches whether the features that a model is asked about are still those of the reference."""

from workers.drift_watch.detectors.base import FeatureDetector
from workers.drift_watch.settings import Settings

DEFAULT_SETTINGS = Settings()


def input_drift(settings: Settings = DEFAULT_SETTINGS) -> FeatureDetector:
    """Return the detector; its windows are those of the features."""
    return FeatureDetector(settings)
