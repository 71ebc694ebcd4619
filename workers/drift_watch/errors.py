"""Errors of the drift watch.

DriftWatchError (a ValueError: what was passed in cannot be used)
├── WindowRefusedError      a window that is no window: its counts contradict each other
├── WindowOrderError        a window that does not follow the last one
└── ReferenceRefusedError   a reference with no rows, or with windows out of order
"""


class DriftWatchError(ValueError):
    """Base of this tree."""


class WindowRefusedError(DriftWatchError):
    """The counts of a window contradict each other."""


class WindowOrderError(DriftWatchError):
    """A window was repeated, came after a later one, or is too far ahead of the last one."""


class ReferenceRefusedError(DriftWatchError):
    """The reference cannot be used at all."""
