"""The gateway's log files: `requests-<n>.log`, with rising numbers; the first line of each says whose it is."""

import os
import re
import sys
from pathlib import Path

import msgspec

from infra.data_directory import write_atomically
from serving.gateway import names

_NAME = re.compile(r"requests-(?P<number>[0-9]+)\.log")
_MAX_HEADER_BYTES = 4_096


class LogFileHeader(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The first line of a log file. Offsets of records count from the start of the file, including this line.

    `thinned` is the last step of thinning that the file went through, 0 for none.
    """

    gateway_id: str
    file_number: int
    workers: int
    thinned: int = 0


def log_path(folder: Path, number: int) -> Path:
    return folder / f"requests-{number}.log"


def log_numbers(folder: Path) -> list[int]:
    """Return the numbers of the existing files, lowest first."""
    matches = (_NAME.fullmatch(entry.name) for entry in folder.iterdir())
    return sorted(int(match["number"]) for match in matches if match)


def begin_log(folder: Path, *, gateway_id: str, workers: int) -> Path:
    """Create the next file and point Envoy's path to it. No number is used twice, even after older files are deleted.

    The link is replaced rather than the file renamed, so that a reader never sees a file change its name or number.
    Both are on disk before Envoy writes, so that a power cut leaves no records without their gateway's name.
    """
    number = max([*log_numbers(folder), _last_number(folder)]) + 1
    header = LogFileHeader(gateway_id=gateway_id, file_number=number, workers=workers)
    path = log_path(folder, number)
    write_atomically(path, msgspec.json.encode(header) + b"\n")
    link = folder / f".{names.LIVE_LOG}.part"
    link.unlink(missing_ok=True)
    link.symlink_to(path.name)
    link.replace(folder / names.LIVE_LOG)
    force_names(folder)
    return path


def read_header(path: Path) -> tuple[LogFileHeader, int]:
    """Return a file's header and the offset of its first record.

    A file that lost its header to a damaged disk counts as that of a separate, dead gateway that never has enough
    workers to prove completeness. Its lines count, and whatever is in place of the header goes to the dead letters.
    """
    with path.open("rb") as file:
        line = file.readline(_MAX_HEADER_BYTES)
    try:
        return msgspec.json.decode(line, type=LogFileHeader), len(line)
    except msgspec.DecodeError:
        name = f"unknown-{path.stem}"
        return LogFileHeader(gateway_id=name, file_number=_number_of(path), workers=sys.maxsize), 0


def _number_of(path: Path) -> int:
    match = _NAME.fullmatch(path.name)
    assert match, f"{path.name} is not a log file"
    return int(match["number"])


def force_names(folder: Path) -> None:
    """Return once the names of the folder's files are on disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _last_number(folder: Path) -> int:
    link = folder / names.LIVE_LOG
    match = _NAME.fullmatch(link.readlink().name) if link.is_symlink() else None
    return int(match["number"]) if match else 0
