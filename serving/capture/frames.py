"""A spool's byte format: frames of length, checksum and payload, in files named after their first frame's number."""

import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

_HEAD = struct.Struct("<II")
MAX_PAYLOAD_BYTES = 16 * 1024**2
MAX_SEGMENT_BYTES = 64 * 1024**2
"""What a reader takes of a file: the writer begins another one long before, but need not be ours."""
_DIGITS = 16
_NUMBER = re.compile(r"[0-9]{16}")
FULL = ".spool"
SLIM = ".slim"


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """One file, named after the number of its first frame; a slim one holds its records without detail."""

    path: Path
    first: int
    is_slim: bool


def pack(payload: bytes) -> bytes:
    """Frame a payload."""
    return _HEAD.pack(len(payload), zlib.crc32(payload)) + payload


def unpack(content: bytes) -> Iterator[tuple[bytes, int]]:
    """Yield each payload with the offset after its frame; stop at a torn or corrupt frame, or at a hole."""
    offset, view = 0, memoryview(content)
    while offset + _HEAD.size <= len(view):
        length, checksum = _HEAD.unpack_from(view, offset)
        payload = view[offset + _HEAD.size : offset + _HEAD.size + length]
        if not length or length > MAX_PAYLOAD_BYTES or len(payload) < length or zlib.crc32(payload) != checksum:
            return
        offset += _HEAD.size + length
        yield bytes(payload), offset


def read_segment(path: Path, *, offset: int = 0) -> bytes:
    """Read a segment from an offset on, as far as a reader takes it.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(max(0, MAX_SEGMENT_BYTES - offset))


def name_of(first: int, *, is_slim: bool = False) -> str:
    """Return the file name of a segment."""
    return f"{first:0{_DIGITS}d}{SLIM if is_slim else FULL}"


def segments(directory: Path) -> list[Segment]:
    """List the segments in order; if a crash left a segment beside its slim copy, list the slim one."""
    found: dict[int, Segment] = {}
    for path in directory.iterdir():
        # Nothing else that somebody may have put there, such as a folder of that name.
        if path.suffix in (FULL, SLIM) and _NUMBER.fullmatch(path.stem) and path.is_file():
            segment = Segment(path=path, first=int(path.stem), is_slim=path.suffix == SLIM)
            if segment.is_slim or segment.first not in found:
                found[segment.first] = segment
    return [found[first] for first in sorted(found)]
