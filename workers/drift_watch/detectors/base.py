"""What all detectors have in common: a reference to be fitted, windows to be folded, and a verdict."""

from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

import msgspec

from workers.drift_watch.reference import Features, fit_reference
from workers.drift_watch.settings import Settings
from workers.drift_watch.watch import State, fold, start

WindowT_contra = TypeVar("WindowT_contra", contravariant=True)


class Detector(Protocol[WindowT_contra]):
    """Watches one series of windows of a deployment.

    Pure: the same reference and windows give the same states. `begin` raises ReferenceRefusedError for a reference
    without rows or with windows out of order; it takes windows of time, or a single one for all rows of a file. `next`
    raises WindowOrderError for a window that does not follow the last one; the state before remains valid. Neither
    changes what it is given.
    """

    def begin(self, reference: Sequence[WindowT_contra]) -> State: ...
    def next(self, state: State, window: WindowT_contra) -> State: ...


class FeatureDetector(msgspec.Struct, frozen=True):
    """Watches features as they are."""

    settings: Settings

    def begin(self, reference: Sequence[Features]) -> State:
        """Return the state before any window."""
        return start(fit_reference(reference, self.settings))

    def next(self, state: State, window: Features) -> State:
        """Return the state after a window."""
        return fold(state, window)


class Series(Protocol):
    """A window that can be seen as features."""

    @property
    def features(self) -> Features: ...


SeriesT = TypeVar("SeriesT", bound=Series)


class SeriesDetector(msgspec.Struct, Generic[SeriesT], frozen=True):
    """Watches windows of another shape, by the features that they make."""

    settings: Settings

    def begin(self, reference: Sequence[SeriesT]) -> State:
        """Return the state before any window."""
        return start(fit_reference([each.features for each in reference], self.settings))

    def next(self, state: State, window: SeriesT) -> State:
        """Return the state after a window."""
        return fold(state, window.features)
