"""Watches whether a version does worse than in its own first windows: errors, slow answers, poor quality."""

from collections.abc import Mapping

import msgspec

from workers.drift_watch.detectors.base import SeriesDetector
from workers.drift_watch.errors import DriftWatchError
from workers.drift_watch.reference import Features
from workers.drift_watch.settings import Settings
from workers.drift_watch.windows import FeatureWindow

BAD, GOOD = "bad", "good"
DEFAULT_SETTINGS = Settings(bad_categories=(BAD,))


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """Of how many answers how many were bad."""

    answers: int
    bad: int


class ServiceWindow(msgspec.Struct, frozen=True, kw_only=True):
    """What was counted in a window, by name: requests with errors, answers slower than the baseline's own p95, …."""

    started_at_ms: int
    tallies: Mapping[str, Tally]

    @property
    def features(self) -> Features:
        """Return each tally as a feature that is good or bad."""
        return {
            name: FeatureWindow(
                started_at_ms=self.started_at_ms,
                values=each.answers,
                categories={BAD: each.bad, GOOD: each.answers - each.bad},
            )
            for name, each in self.tallies.items()
        }


def degradation(settings: Settings = DEFAULT_SETTINGS) -> SeriesDetector[ServiceWindow]:
    """Return the detector. Raises DriftWatchError for settings that do not watch bad answers."""
    if settings.bad_categories != (BAD,):
        raise DriftWatchError(f'degradation is a rise of "{BAD}" answers')
    return SeriesDetector(settings)
