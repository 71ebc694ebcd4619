"""What can be in the autoscaler's way.

AutoscalerError
├── PartAwayError   API, gateway or instance does not answer now; trying again may help
└── RefusedError    the API says no; the same again would be refused too
"""


class AutoscalerError(Exception):
    """Base of this tree."""


class PartAwayError(AutoscalerError):
    """A part that the autoscaler needs is away for now."""


class RefusedError(AutoscalerError):
    """The control plane refused what the autoscaler sent."""
