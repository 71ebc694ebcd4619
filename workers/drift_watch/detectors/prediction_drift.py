"""Watches whether a model still answers as it did in the reference."""

from schemas.events.monitors import Bounds
from workers.drift_watch.detectors.base import FeatureDetector
from workers.drift_watch.settings import Settings

# Outputs are few and what users see, but they also follow the mix of callers, which is no fault of the model.
DEFAULT_SETTINGS = Settings(bounds=Bounds(location=0.03, spread=0.03, category=0.02))


def prediction_drift(settings: Settings = DEFAULT_SETTINGS) -> FeatureDetector:
    """Return the detector; its windows are those of the outputs, as numbers or as categories."""
    return FeatureDetector(settings)
