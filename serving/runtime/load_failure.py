"""Why a model could not be loaded: the runtime writes it to its spool directory, where the agent reads it."""

from pathlib import Path

import msgspec

from infra.data_directory import write_atomically

_FILE = "failure.json"


class LoadFailure(msgspec.Struct, frozen=True):
    """The code and reason of InstanceFailed."""

    code: str
    reason: str


def leave_failure(directory: Path, failure: LoadFailure) -> None:
    """Write the failure for whoever started this process."""
    write_atomically(directory / _FILE, msgspec.json.encode(failure))


def find_failure(directory: Path) -> LoadFailure | None:
    """Return what a runtime wrote, or None if it ended without a reason."""
    try:
        return msgspec.json.decode((directory / _FILE).read_bytes(), type=LoadFailure)
    except (OSError, msgspec.DecodeError):
        return None
