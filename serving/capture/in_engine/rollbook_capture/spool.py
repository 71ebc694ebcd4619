"""The writing end of a spool, in the format of `serving.capture.frames`; the records are JSON arrays."""

import contextlib
import json
import struct
import sys
import zlib
from collections.abc import Iterator, Sequence
from io import FileIO
from pathlib import Path

from .json_text import written  # noqa: TID252 - the folder has another parent inside a foreign engine

_HEAD = struct.Struct("<II")
_INPUTS_AT, _OUTPUTS_AT = 6, 7


class Spool:
    """Segments of frames, bounded on disk: the oldest loses its detail first, and is then deleted."""

    def __init__(self, directory: Path, *, max_bytes: int) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._max_bytes = max_bytes
        self._segment_bytes = min(8 * 1024**2, max_bytes // 8)
        self._file: FileIO | None = None
        self._next = self._began = self._written = 0
        self.dropped = 0

    def append(self, payloads: Sequence[bytes]) -> None:
        """Write frames; what cannot be written is dropped, and the next frames are tried again."""
        try:
            content = b"".join(_HEAD.pack(len(part), zlib.crc32(part)) + part for part in payloads)
            self._write(memoryview(content))
            self._next += len(payloads)
            self._written += len(content)
            self._make_room()
        except OSError as error:
            self.dropped += len(payloads)
            sys.stderr.write(f"rollbook: the spool cannot be written ({error}); dropped so far: {self.dropped}\n")
            # A torn frame ends its segment for the reader; the next segment has its own number.
            self._next += 1
            self.close()

    def _write(self, content: memoryview) -> None:
        file = self._file
        if file is None or self._written >= self._segment_bytes:
            self.close()
            file = self._file = (self._directory / f"{self._next:016d}.spool").open("xb", buffering=0)
            self._began, self._written = self._next, 0
        while content:
            content = content[file.write(content) :]

    def close(self) -> None:
        """Close the open segment."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _make_room(self) -> None:
        open_one = f"{self._began:016d}"
        closed = sorted(path for path in self._directory.glob("*.s[lp]*") if path.stem != open_one)
        used = self._written + sum(map(_size, closed))
        full = [path for path in closed if path.suffix == ".spool"]
        for free, candidates in ((self._slim, full), (self._drop, closed)):
            for path in candidates:
                if used <= self._max_bytes:
                    return
                used -= free(path)

    def _slim(self, path: Path) -> int:
        with contextlib.suppress(FileNotFoundError):
            before = path.read_bytes()
            after = b"".join(_without_detail(before))
            part = path.with_suffix(".tmp")
            part.write_bytes(after)
            part.replace(path.with_suffix(".slim"))
            path.unlink()
            return len(before) - len(after)
        return 0

    def _drop(self, path: Path) -> int:
        freed = 0
        for left in (path, path.with_suffix(".slim")):
            freed += _size(left)
            left.unlink(missing_ok=True)
        return freed


def _without_detail(content: bytes) -> Iterator[bytes]:
    offset = 0
    while offset + _HEAD.size <= len(content):
        length, _ = _HEAD.unpack_from(content, offset)
        record = json.loads(content[offset + _HEAD.size : offset + _HEAD.size + length])
        if record[0] == "r":
            record[_INPUTS_AT] = record[_OUTPUTS_AT] = ""
        part = written(record).encode()
        yield _HEAD.pack(len(part), zlib.crc32(part)) + part
        offset += _HEAD.size + length


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
