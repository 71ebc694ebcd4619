"""The reading end of a spool: by frame number, from open or closed segments, past torn tails and dropped segments."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import msgspec

from serving.capture.frames import FULL, SLIM, Segment, read_segment, segments, unpack


class Frames(msgspec.Struct, frozen=True, kw_only=True):
    """Payloads, the number of the frame after them, and how many frames before them were lost."""

    payloads: list[bytes]
    next_position: int
    lost: int


class _Place(msgspec.Struct, frozen=True):
    """Where a frame starts in a file."""

    path: Path
    position: int
    offset: int


class SpoolReader:
    """Reads what one writer writes; reader and writer are separate processes."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._last: _Place | None = None

    def read(self, position: int, *, max_frames: int, max_bytes: int) -> Frames:
        """Return whole frames from a position on, at least one if there is one, and never frames of two segments."""
        found = self._segments()
        lost = 0
        for index, segment in enumerate(found):
            if index + 1 < len(found) and found[index + 1].first <= position:
                continue
            if segment.first > position:
                lost += segment.first - position
                position = segment.first
            try:
                payloads = self._take(segment, position, max_frames=max_frames, max_bytes=max_bytes)
            except FileNotFoundError:
                # It was just made slim or dropped. The next call sees which, so nothing counts as lost yet.
                break
            if payloads:
                return Frames(payloads=payloads, next_position=position + len(payloads), lost=lost)
        return Frames(payloads=[], next_position=position, lost=lost)

    def delete_before(self, position: int) -> None:
        """Delete the segments whose frames all precede the position; the writer's open one stays."""
        found = self._segments()
        for segment, following in pairwise(found):
            if following.first <= position:
                for suffix in (FULL, SLIM):
                    segment.path.with_suffix(suffix).unlink(missing_ok=True)

    def _segments(self) -> list[Segment]:
        try:
            return segments(self._directory)
        except FileNotFoundError:
            return []

    def _take(self, segment: Segment, position: int, *, max_frames: int, max_bytes: int) -> list[bytes]:
        payloads: list[bytes] = []
        used = 0
        for payload, place in self._frames_from(segment, position):
            if len(payloads) == max_frames or (payloads and used + len(payload) > max_bytes):
                break
            payloads.append(payload)
            used += len(payload)
            self._last = place
        return payloads

    def _frames_from(self, segment: Segment, position: int) -> Iterator[tuple[bytes, _Place]]:
        start = _Place(segment.path, segment.first, 0)
        # Continues where the last call ended, so that a growing segment is not read from its start each time.
        if self._last is not None and self._last.path == segment.path and self._last.position <= position:
            start = self._last
        content = read_segment(segment.path, offset=start.offset)
        number = start.position
        for payload, end in unpack(content):
            number += 1
            if number > position:
                yield payload, _Place(segment.path, number, start.offset + end)
