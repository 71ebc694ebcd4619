"""Why a model could not be loaded: the runtime writes it to its spool directory, where the agent reads it."""

import re
from pathlib import Path

import msgspec

from infra.data_directory import write_atomically

_FILE = "failure.json"
_MAX_BYTES = 64 * 1024
_MAX_REASON = 4_000
_CODE = re.compile(r"[a-z][a-z-]{0,59}")


class LoadFailure(msgspec.Struct, frozen=True):
    """The code and reason of InstanceFailed."""

    code: str
    reason: str


def leave_failure(directory: Path, failure: LoadFailure) -> None:
    """Write the failure for whoever started this process."""
    write_atomically(directory / _FILE, msgspec.json.encode(failure))


def find_failure(directory: Path) -> LoadFailure | None:
    """Return what a runtime wrote, or None if it ended without a reason that makes sense."""
    try:
        with (directory / _FILE).open("rb") as file:
            failure = msgspec.json.decode(file.read(_MAX_BYTES), type=LoadFailure)
    except (OSError, ValueError, msgspec.DecodeError, RecursionError):
        return None
    if not _CODE.fullmatch(failure.code) or not failure.reason:
        return None
    return LoadFailure(code=failure.code, reason=failure.reason[:_MAX_REASON])
