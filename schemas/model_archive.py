"""Opens zip archives of models within limits, so that a small file costs no more memory or time than a small file may.

An archive is looked at from outside: how many entries it has, what they unpack to, and the same of archives among them.
"""

import lzma
import os
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import IO, Any, NamedTuple, cast

MAX_ENTRIES = 100_000
MAX_DIRECTORY_BYTES = 32 * 1024**2
MAX_ENTRY_BYTES = 4 * 1024**3
MAX_UNPACKED_BYTES = 8 * 1024**3
MAX_UNPACKED_RATIO = 200
_SMALL_BYTES = 1024**2
_LOCAL_HEADER_BYTES = 30
_STARTS = (b"PK\x03\x04", b"PK\x05\x06")
"""How an archive begins; NumPy and torch unpack an entry that begins so, whatever its name is."""

UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    NotImplementedError,
    EOFError,
    KeyError,
    RuntimeError,
    ValueError,
)
"""What `zipfile` raises on an archive that is damaged or none."""


class UnsafeArchiveError(ValueError):
    """An archive is built to harm whoever unpacks it; the text is what is wrong, to follow "the archive"."""


class ModelArchive(NamedTuple):
    """An archive within the limits, and what it unpacks to, with the archives in it."""

    zip: zipfile.ZipFile
    unpacked_bytes: int


@contextmanager
def opened_archive(file: IO[bytes]) -> Iterator[ModelArchive]:
    """Open an archive whose entries, and those of the archives in it, may be read.

    Raises:
        UnsafeArchiveError: it has too many entries, unpacks to too much, or has entries that overlap or go deeper.
        OSError: the file cannot be read; others of `UNREADABLE`: what is in it cannot.
    """
    file_bytes = file.seek(0, os.SEEK_END)
    with _opened(file) as archive:
        unpacked = _checked(archive, file_bytes=file_bytes)
        for entry in in_order(archive):
            with archive.open(entry) as content:
                if content.read(len(_STARTS[0])) in _STARTS:
                    unpacked += _checked_nested(content, entry)
                    _require_bytes(unpacked, file_bytes=file_bytes)
        yield ModelArchive(archive, unpacked)


def in_order(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """Return the entries as they lie in the file: in this order, an archive in an archive is unpacked only once."""
    return sorted(archive.infolist(), key=lambda entry: entry.header_offset)


class _Bounded:
    """A file of which no one reads more at once than an archive's directory may take.

    `zipfile` reads the whole directory before anyone can ask how large it is.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.is_bounded = True

    def read(self, size: int = -1) -> bytes:
        if not self.is_bounded:
            return self._file.read(size)
        # Without a size, `zipfile` reads the comment at the end.
        content = self._file.read(MAX_DIRECTORY_BYTES + 1 if size < 0 else min(size, MAX_DIRECTORY_BYTES + 1))
        if len(content) > MAX_DIRECTORY_BYTES:
            raise UnsafeArchiveError(f"has a directory of more than {MAX_DIRECTORY_BYTES} bytes")
        return content

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  whatever else a file has
        return getattr(self._file, name)


@contextmanager
def _opened(file: IO[bytes]) -> Iterator[zipfile.ZipFile]:
    bounded = _Bounded(file)
    with zipfile.ZipFile(cast("IO[bytes]", bounded)) as archive:
        bounded.is_bounded = False
        yield archive


def _checked(archive: zipfile.ZipFile, *, file_bytes: int) -> int:
    """Return what an archive unpacks to."""
    entries = in_order(archive)
    if len(entries) > MAX_ENTRIES:
        raise UnsafeArchiveError(f"has more than {MAX_ENTRIES} entries")
    unpacked = sum(entry.file_size for entry in entries)
    _require_bytes(unpacked, file_bytes=file_bytes)
    for entry in entries:
        if entry.compress_type == zipfile.ZIP_STORED:
            if entry.file_size != entry.compress_size:
                raise UnsafeArchiveError(f"states a wrong size of {entry.filename[:100]!r}")
        elif entry.file_size > MAX_ENTRY_BYTES:
            raise UnsafeArchiveError(f"unpacks {entry.filename[:100]!r} to more than {MAX_ENTRY_BYTES} bytes")
    ends = [(entry.header_offset, entry.header_offset + _LOCAL_HEADER_BYTES + entry.compress_size) for entry in entries]
    ends.append((archive.start_dir, archive.start_dir))
    if any(end > following for (_, end), (following, _) in pairwise(ends)):
        raise UnsafeArchiveError("has entries that overlap")
    return unpacked


def _checked_nested(content: IO[bytes], entry: zipfile.ZipInfo) -> int:
    content.seek(0)
    with _opened(content) as nested:
        unpacked = _checked(nested, file_bytes=entry.file_size)
        for inner in in_order(nested):
            with nested.open(inner) as innermost:
                if innermost.read(len(_STARTS[0])) in _STARTS:
                    raise UnsafeArchiveError(f"has an archive in the archive {entry.filename[:100]!r}")
    return unpacked


def _require_bytes(unpacked: int, *, file_bytes: int) -> None:
    """Refuse what unpacks to too much. What is not compressed at all is as large as its file, and fits."""
    limit = max(file_bytes, min(MAX_UNPACKED_BYTES, max(_SMALL_BYTES, file_bytes) * MAX_UNPACKED_RATIO))
    if unpacked > limit:
        raise UnsafeArchiveError(f"unpacks to too many bytes for a model: {unpacked} from a file of {file_bytes}")
