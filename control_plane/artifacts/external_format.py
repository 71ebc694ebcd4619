"""Reads the description of a server that already runs; the server itself is the serving agent's to ask."""

from typing import BinaryIO

from control_plane.artifacts.errors import NotAModelError
from schemas.external_engine import MAX_BYTES, read_description


def check_external(file: BinaryIO) -> None:
    """Refuse a file that describes no server.

    Raises:
        NotAModelError: with the reason.
    """
    try:
        read_description(file.read(MAX_BYTES + 1))
    except ValueError as error:
        raise NotAModelError(artifact_format="external", reason=str(error)) from error
