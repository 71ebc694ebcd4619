"""The Range header (RFC 9110 §14): one range of bytes; anything else is answered with the whole file, as it may be."""

import re

import msgspec

from control_plane.artifacts.errors import RangeNotSatisfiableError

_ONE_RANGE = re.compile(r"bytes=(?P<first>\d{0,18})-(?P<last>\d{0,18})")


class ByteRange(msgspec.Struct, frozen=True, kw_only=True):
    """`length` bytes from `start`."""

    start: int
    length: int


def asked_range(header: str | None, *, size_bytes: int) -> ByteRange | None:
    """Return the part of the file that was asked for; None for all of it.

    Raises:
        RangeNotSatisfiableError: the range is outside the file.
    """
    match = _ONE_RANGE.fullmatch(header.strip()) if header else None
    if match is None or not (match["first"] or match["last"]):
        return None
    if not match["first"]:
        length = min(int(match["last"]), size_bytes)
        start, last = size_bytes - length, size_bytes - 1
    else:
        start = int(match["first"])
        last = min(int(match["last"]), size_bytes - 1) if match["last"] else size_bytes - 1
        if match["last"] and int(match["last"]) < start:
            return None
    if start >= size_bytes or last < start:
        raise RangeNotSatisfiableError(size_bytes=size_bytes)
    return ByteRange(start=start, length=last - start + 1)
