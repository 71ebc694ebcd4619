"""Failures that the serving agent handles.

AgentError
├── PartAwayError          the control plane, Kafka or an engine cannot answer now; retrying may help
│   └── EngineBusyError    an engine rejects a call because of its load; not a fault of the engine
├── CaptureNotHandedOverError  a capture policy cannot be written for the engines; retrying may help
├── RefusedError           the control plane understood a call and refuses it; repeating the call will not help
└── CannotServeError       an instance cannot be started; `code` is used in FailInstance
    ├── NeverServesError       the version cannot run as it is: starting again will not help
    │   └── EngineFaultError   the engine failed on its golden input; its log says why
    └── MayServeLaterError     this host cannot run it now: starting again may help
"""


class AgentError(Exception):
    """Base of this tree."""


class PartAwayError(AgentError):
    """A neighbour cannot answer now."""


class EngineBusyError(PartAwayError):
    """An engine is overloaded."""


class CaptureNotHandedOverError(AgentError):
    """A capture policy cannot be written for the engines now."""


class RefusedError(AgentError):
    """The control plane refuses a call."""


class CannotServeError(AgentError):
    """An instance cannot be started."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(f"{code}: {reason}")
        self.code = code
        self.reason = reason


class NeverServesError(CannotServeError):
    """The version itself is at fault, and versions do not change."""


class EngineFaultError(NeverServesError):
    """The engine failed on its golden input; the answer need not say why."""


class MayServeLaterError(CannotServeError):
    """The host or a neighbour is at fault."""
