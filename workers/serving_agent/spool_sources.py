"""Whose spool it is: `source.json` beside the segments, so that it can be shipped even if nothing else is known."""

from pathlib import Path

import msgspec
import structlog

from infra.data_directory import write_atomically

_FILE = "source.json"
FRAMES = "frames"
"""The folder beside that of the spools in which engines write."""

_log = structlog.get_logger(__name__)


class SpoolSource(msgspec.Struct, frozen=True, kw_only=True):
    """One boot of one engine, and what all its rows have in common."""

    boot_id: str
    workspace: str
    endpoint_id: str
    deployment_id: str
    version_id: str
    instance_id: str


def write_source(directory: Path, source: SpoolSource, *, is_of_engine: bool) -> None:
    """Create a spool directory that says whose it is."""
    if is_of_engine:
        # Before the source: whoever finds that looks for the folder once.
        folder_of_engine(directory).mkdir(parents=True, exist_ok=True)
    directory.mkdir(parents=True, exist_ok=True)
    write_atomically(directory / _FILE, msgspec.json.encode(source))


def folder_of_engine(directory: Path) -> Path:
    """Return the folder in which the engine of a spool writes; what says whose it is lies where no engine writes."""
    return directory.parent.with_name(FRAMES) / directory.name


def frames_of(directory: Path) -> Path:
    """Return where the segments of a spool are: beside its source, if we wrote them ourselves."""
    frames = folder_of_engine(directory)
    return frames if frames.is_dir() else directory


def sources(spools: Path) -> dict[Path, SpoolSource]:
    """List the spools below a directory."""
    found: dict[Path, SpoolSource] = {}
    for path in sorted(spools.glob(f"*/{_FILE}")):
        try:
            found[path.parent] = msgspec.json.decode(path.read_bytes(), type=SpoolSource)
        except FileNotFoundError:
            continue
        except (OSError, ValueError, msgspec.DecodeError, RecursionError) as error:
            _log.error("spool_source_unreadable", path=str(path), reason=str(error))
    return found
