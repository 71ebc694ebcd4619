"""Errors of the autoscaler.

AutoscalerError
├── PartAwayError   the API, a gateway or an instance does not answer now; retrying may help
└── RefusedError    the API refused; repeating the call would be refused too
"""


class AutoscalerError(Exception):
    """Base of this tree."""


class PartAwayError(AutoscalerError):
    """A part that the autoscaler needs is unavailable for now."""


class RefusedError(AutoscalerError):
    """The control plane refused what the autoscaler sent."""
