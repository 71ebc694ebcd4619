"""The gateway's log files: `requests-<n>.log`, numbered for ever, each with a first line that says whose it is."""

import re
from pathlib import Path

import msgspec

from serving.gateway import names

_NAME = re.compile(r"requests-(?P<number>[0-9]+)\.log")
_MAX_HEADER_BYTES = 4_096


class LogFileHeader(msgspec.Struct, frozen=True, kw_only=True):
    """First line of a log file. Offsets of records count from the file's start, this line included."""

    gateway_id: str
    file_number: int
    workers: int


def log_path(folder: Path, number: int) -> Path:
    return folder / f"requests-{number}.log"


def log_numbers(folder: Path) -> list[int]:
    """Return the numbers of the files that are there, lowest first."""
    matches = (_NAME.fullmatch(entry.name) for entry in folder.iterdir())
    return sorted(int(match["number"]) for match in matches if match)


def begin_log(folder: Path, *, gateway_id: str, workers: int) -> Path:
    """Make the next file and point Envoy's path to it. No number is used twice, though older files are deleted.

    The link is replaced rather than the file renamed: a reader never sees a file change its name or number.
    """
    number = max([*log_numbers(folder), _last_number(folder)]) + 1
    header = LogFileHeader(gateway_id=gateway_id, file_number=number, workers=workers)
    path = log_path(folder, number)
    part = folder / f".{path.name}.part"
    part.write_bytes(msgspec.json.encode(header) + b"\n")
    part.chmod(0o600)
    part.replace(path)
    link = folder / f".{names.LIVE_LOG}.part"
    link.unlink(missing_ok=True)
    link.symlink_to(path.name)
    link.replace(folder / names.LIVE_LOG)
    return path


def read_header(path: Path) -> tuple[LogFileHeader, int]:
    """Return a file's header and the offset of its first record.

    Raises:
        msgspec.DecodeError: the file does not begin with a header.
    """
    with path.open("rb") as file:
        line = file.readline(_MAX_HEADER_BYTES)
    return msgspec.json.decode(line, type=LogFileHeader), len(line)


def _last_number(folder: Path) -> int:
    link = folder / names.LIVE_LOG
    match = _NAME.fullmatch(link.readlink().name) if link.is_symlink() else None
    return int(match["number"]) if match else 0
