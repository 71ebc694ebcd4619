"""Errors of the judge.

JudgeError
├── PartAwayError   the API, a view or Kafka does not answer now; retrying may help
└── RefusedError    the API refused; repeating the call would be refused too
    └── ContentRefusedError   for what is in it: one item of many may be why
"""


class JudgeError(Exception):
    """Base of this tree."""


class PartAwayError(JudgeError):
    """A part that the judge needs is unavailable for now."""


class RefusedError(JudgeError):
    """The control plane refused what the judge sent."""


class ContentRefusedError(RefusedError):
    """The control plane refused a whole call for its content."""
