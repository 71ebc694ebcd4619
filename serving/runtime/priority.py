"""The priority that a caller requests: requests of batch jobs yield to all others."""

from serving.runtime.errors import InvalidRequestError

PRIORITY = "x-rollbook-priority"
"""The header over REST, and the metadata key over gRPC."""
_BATCH = "batch"


def is_patient(priority: str | None) -> bool:
    """Return whether a request waits until nobody else does.

    Raises:
        InvalidRequestError: the priority does not exist.
    """
    if priority not in {None, _BATCH}:
        raise InvalidRequestError(f"{PRIORITY} has to be {_BATCH!r} or omitted, not {priority!r:.40}")
    return priority is not None
