"""The priority that a caller asks for: requests of batch jobs give way to all others."""

from serving.runtime.errors import InvalidRequestError

PRIORITY = "x-rollbook-priority"
"""The header over REST, the key of metadata over gRPC."""
_BATCH = "batch"


def is_patient(priority: str | None) -> bool:
    """Return whether a request waits until no one else does.

    Raises:
        InvalidRequestError: A priority that does not exist.
    """
    if priority not in {None, _BATCH}:
        raise InvalidRequestError(f"{PRIORITY} is {_BATCH!r}, or it is left out; not {priority!r:.40}")
    return priority is not None
