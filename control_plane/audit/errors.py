"""What can go wrong when the log is proved.

AuditError
├── CheckpointError   a checkpoint or its key is malformed, or not signed by the expected key
├── LogUnreadableError  the store's file or the topic cannot be read
└── LogBrokenError    a log is not what it must be; the message says where it first departs
"""


class AuditError(Exception):
    """Base of this tree; the message is for a person."""


class CheckpointError(AuditError):
    """A checkpoint proves nothing."""


class LogUnreadableError(AuditError):
    """There is nothing to compare."""


class LogBrokenError(AuditError):
    """A log was altered, or two logs differ."""
