"""What can be in the judge's way.

JudgeError
├── PartAwayError   API, view or Kafka does not answer now; trying again may help
└── RefusedError    the API says no; the same again would be refused too
"""


class JudgeError(Exception):
    """Base of this tree."""


class PartAwayError(JudgeError):
    """A part that the judge needs is away for now."""


class RefusedError(JudgeError):
    """The control plane refused what the judge sent."""
