"""Failures that the serving agent handles.

AgentError
├── PartAwayError          the control plane, Kafka or an engine cannot answer now; trying again may help
│   └── EngineBusyError    an engine refuses for its load; it is not a fault of the engine
├── CaptureNotHandedOverError  a capture policy cannot be written for the engines; trying again may help
├── RefusedError           the control plane understood a call and refuses it; the same call meets the same
└── CannotServeError       an instance cannot be brought up; `code` is that of InstanceFailed
    ├── NeverServesError       the version will not run as it is: starting again meets the same
    │   └── EngineFaultError   the engine failed at its golden input; its log says of what
    └── MayServeLaterError     this host cannot run it now: starting again may help
"""


class AgentError(Exception):
    """Base of this tree."""


class PartAwayError(AgentError):
    """A neighbour cannot answer now."""


class EngineBusyError(PartAwayError):
    """An engine has more to do than it takes."""


class CaptureNotHandedOverError(AgentError):
    """A capture policy cannot be written for the engines now."""


class RefusedError(AgentError):
    """The control plane refuses a call."""


class CannotServeError(AgentError):
    """An instance cannot be brought up."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(f"{code}: {reason}")
        self.code = code
        self.reason = reason


class NeverServesError(CannotServeError):
    """The version itself is at fault, and versions do not change."""


class EngineFaultError(NeverServesError):
    """The engine answered its golden input by a fault of its own, which the answer need not explain."""


class MayServeLaterError(CannotServeError):
    """The host or a neighbour is at fault."""
