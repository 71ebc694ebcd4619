"""What can go wrong with the keys of personal values."""

from control_plane.errors import Unavailable


class KeysUnavailableError(Unavailable):
    """The key file cannot be written or read now."""

    code = "keys-unavailable"
