"""What can go wrong with keys."""

from control_plane.errors import Unavailable


class KeysUnavailableError(Unavailable):
    """A key cannot be written or read now."""

    code = "keys-unavailable"


class KeyDoesNotFitError(KeysUnavailableError):
    """A key does not open what was sealed under its id."""

    def __init__(self) -> None:
        super().__init__(
            "a personal value cannot be opened with its key",
            remedy="put keys.sqlite of the event store back from a backup of the time after its last change",
        )
