"""What can go wrong with the keys of personal values."""

from control_plane.errors import Unavailable


class KeysUnavailableError(Unavailable):
    """The file of the keys cannot be written or read now."""

    code = "keys-unavailable"
