"""The writing end of a spool: bounded on disk, never blocks a prediction, and reports what it drops."""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
import structlog

from serving.capture.frames import FULL, SLIM, Segment, name_of, pack, segments, unpack

_log = structlog.get_logger(__name__)


class SpoolLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How much disk space a spool may use, and how large one segment grows."""

    max_bytes: int = 256 * 1024**2
    segment_bytes: int = 8 * 1024**2


class SpoolWriter:
    """Appends frames for one reader. Used by one thread.

    A full spool drops the detail of its oldest segments first, then its oldest segments. If a write fails (the disk is
    full), it is retried without detail in place of the oldest segment, and then its frames are dropped. Counts in marks
    are cumulative, so no count is lost. Nothing is synced: frames have to survive a crash of the process, not of the
    machine.
    """

    def __init__(self, directory: Path, *, limits: SpoolLimits, without_detail: Callable[[bytes], bytes]) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._limits = limits
        self._without_detail = without_detail
        self._next = 0
        self._file: int | None = None
        self._written = 0
        self.dropped = 0

    def append(self, payloads: Sequence[bytes]) -> None:
        """Write frames; the spool is brought within its bound after each segment."""
        for part in _parts(payloads, self._limits.segment_bytes):
            self._append(part)

    def _append(self, payloads: Sequence[bytes]) -> None:
        try:
            self._put(payloads)
        except OSError as error:
            self._give_up_segment()
            if not self._put_without_detail(payloads):
                self.dropped += len(payloads)
                _log.error("spool_write_failed", reason=str(error), dropped=len(payloads), dropped_in_all=self.dropped)
                return
        try:
            self._keep_within_limit()
        except OSError as error:
            # Writing a slim segment needs space first; if there is none, the next round tries again.
            _log.error("spool_cannot_make_room", reason=str(error))

    def close(self) -> None:
        """Close the open segment."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _put(self, payloads: Sequence[bytes]) -> None:
        content = b"".join(map(pack, payloads))
        self._write(content)
        self._next += len(payloads)
        self._written += len(content)

    def _put_without_detail(self, payloads: Sequence[bytes]) -> bool:
        """Delete the oldest segment to make room for the newest counts when the disk is full."""
        oldest = segments(self._directory)[:-1][:1]
        try:
            for segment in oldest:
                self._drop(segment)
            self._put([self._without_detail(payload) for payload in payloads])
        except OSError:
            self._give_up_segment()
            return False
        return True

    def _write(self, content: bytes) -> None:
        if self._file is None or self._written >= self._limits.segment_bytes:
            self.close()
            path = self._directory / name_of(self._next)
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
            self._written = 0
        view = memoryview(content)
        while view:
            view = view[os.write(self._file, view) :]

    def _give_up_segment(self) -> None:
        """Truncate a half-written frame, so that the frames of the next attempt can be read."""
        if self._file is None:
            return
        try:
            os.ftruncate(self._file, self._written)
        except OSError:
            # The reader stops at the torn frame; the next segment must not have the same number.
            self._next += 1
            self.close()

    def _keep_within_limit(self) -> None:
        # The last segment is open and never touched.
        closed = segments(self._directory)[:-1]
        used = self._written + sum(map(_size, closed))
        fat = [segment for segment in closed if not segment.is_slim]
        for free, candidates in ((self._slim, fat), (self._drop, closed)):
            for segment in candidates:
                if used <= self._limits.max_bytes:
                    return
                used -= free(segment)

    def _slim(self, segment: Segment) -> int:
        try:
            before = segment.path.stat().st_size
            content = b"".join(pack(self._without_detail(payload)) for payload, _ in unpack(segment.path.read_bytes()))
        except FileNotFoundError:
            return 0
        target = segment.path.with_suffix(SLIM)
        temporary = segment.path.with_suffix(".tmp")
        try:
            temporary.write_bytes(content)
            temporary.replace(target)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        segment.path.unlink(missing_ok=True)
        _log.warning("spool_detail_dropped", segment=segment.first, freed_bytes=before - len(content))
        return before - len(content)

    def _drop(self, segment: Segment) -> int:
        frames = freed = 0
        for suffix in (SLIM, FULL):
            path = segment.path.with_suffix(suffix)
            if path.exists():
                content = path.read_bytes()
                frames, freed = sum(1 for _ in unpack(content)), len(content)
                path.unlink(missing_ok=True)
        self.dropped += frames
        _log.error("spool_segment_dropped", segment=segment.first, dropped=frames, dropped_in_all=self.dropped)
        return freed


def _parts(payloads: Sequence[bytes], max_bytes: int) -> Iterator[Sequence[bytes]]:
    start = size = 0
    for end, payload in enumerate(payloads):
        if size and size + len(payload) > max_bytes:
            yield payloads[start:end]
            start, size = end, 0
        size += len(payload)
    yield payloads[start:]


def _size(segment: Segment) -> int:
    try:
        return segment.path.stat().st_size
    except FileNotFoundError:
        # The reader has already shipped and deleted it.
        return 0
