"""What can go wrong when the log is proved; what is wrong with a log itself is in `control_plane.log.errors`.

AuditError
└── CheckpointError   a checkpoint or its key is malformed, or not signed by the expected key
"""


class AuditError(Exception):
    """Base of this tree; the message is for a person."""


class CheckpointError(AuditError):
    """A checkpoint proves nothing."""
