"""Errors of the drift watch.

DriftWatchError (a ValueError: what was passed in cannot be used)
├── WindowRefusedError      a window that is no window: its counts contradict each other
├── WindowOrderError        a window that does not follow the last one
└── ReferenceRefusedError   a reference with no rows, or with windows out of order

NoAnswerError (what was asked of others)
├── ControlPlaneAwayError   the control plane or its view cannot answer now; asking later may help
└── RefusedError            it refuses; asking the same again does not help
    └── TooLargeAnswerError the answer would be too large
"""


class DriftWatchError(ValueError):
    """Base of this tree."""


class WindowRefusedError(DriftWatchError):
    """The counts of a window contradict each other."""


class WindowOrderError(DriftWatchError):
    """A window was repeated, came after a later one, or is too far ahead of the last one."""


class ReferenceRefusedError(DriftWatchError):
    """The reference cannot be used at all."""


class NoAnswerError(Exception):
    """Base of the errors of calls."""


class ControlPlaneAwayError(NoAnswerError):
    """The control plane, or the view that it asks, cannot answer now."""


class RefusedError(NoAnswerError):
    """The control plane refuses the call."""


class TooLargeAnswerError(RefusedError):
    """The answer would be too large; ask for less."""
