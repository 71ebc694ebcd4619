"""Keeps all spools of a host within a bound: each engine bounds its own, and ended ones pile up while Kafka is away."""

import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import structlog

from serving.capture.frames import FULL, SLIM, Segment, name_of, pack, read_segment, segments, unpack
from serving.capture.records import Mark, decode, without_detail
from workers.serving_agent.spool_sources import FRAMES, SpoolSource, frames_of, sources

_BLOCK_BYTES = 512

_log = structlog.get_logger(__name__)


def keep_within(spools: Path, *, max_bytes: int, is_over: Callable[[SpoolSource], bool]) -> int:
    """Bring spools within a bound and return how many bytes they take then.

    Only those of ended engines are touched, oldest first: all of them lose their captured inputs and outputs before the
    first loses its records. Its last mark stays, so that the number of predictions stays exact; the reader counts the
    records as lost.
    """
    used = sum(_size(path) for folder in (spools, spools.with_name(FRAMES)) for path in folder.glob("*/*"))
    if used <= max_bytes:
        return used
    ended = sorted((frames_of(each) for each, source in sources(spools).items() if is_over(source)), key=_began_at)
    for free in (_slim_all, _reduce_to_counts):
        for directory in ended:
            if used <= max_bytes:
                return used
            try:
                used -= free(directory)
            except (OSError, ValueError, msgspec.DecodeError, RecursionError) as error:
                # A full disk has no room for a smaller copy; what cannot be read is left for the dead letters.
                _log.error("spool_not_reduced", spool=directory.name, reason=str(error))
    if used > max_bytes:
        _log.error("spools_above_cap", used_bytes=used, max_bytes=max_bytes)
    return used


def _slim_all(directory: Path) -> int:
    freed = 0
    for segment in segments(directory):
        if not segment.is_slim:
            payloads = [without_detail(payload) for payload in _payloads(segment)]
            freed += _size(segment.path) - _write(directory, segment.first, payloads)
            segment.path.unlink(missing_ok=True)
    _log.warning("spool_detail_dropped", spool=directory.name, freed_bytes=freed)
    return freed


def _reduce_to_counts(directory: Path) -> int:
    """Replace all frames by the last mark, in the place of the last frame: the reader counts those before as lost."""
    mark, count = b"", 0
    found = segments(directory)
    for segment in found:
        for payload in _payloads(segment):
            count += 1
            mark = payload if isinstance(decode(payload), Mark) else mark
        end = segment.first + len(_payloads(segment))
    if not mark or count == 1:
        return 0
    before = sum(_size(segment.path) for segment in found)
    written = _write(directory, end - 1, [mark])
    for segment in found:
        for suffix in (FULL, SLIM):
            path = segment.path.with_suffix(suffix)
            if path.name != name_of(end - 1, is_slim=True):
                path.unlink(missing_ok=True)
    _log.error("spool_reduced_to_counts", spool=directory.name, dropped=count - 1)
    return before - written


def _payloads(segment: Segment) -> list[bytes]:
    return [payload for payload, _ in unpack(read_segment(segment.path))]


def _write(directory: Path, first: int, payloads: list[bytes]) -> int:
    content = b"".join(map(pack, payloads))
    target = directory / name_of(first, is_slim=True)
    part = target.with_suffix(".tmp")
    part.write_bytes(content)
    part.replace(target)
    return len(content)


def _began_at(directory: Path) -> float:
    return min((found.st_mtime for path in directory.iterdir() if (found := _stat(path)) is not None), default=0.0)


def _size(path: Path) -> int:
    found = _stat(path)
    # What a file with holes says of itself takes no room.
    return 0 if found is None else min(found.st_size, found.st_blocks * _BLOCK_BYTES)


def _stat(path: Path) -> os.stat_result | None:
    """Return what is known of a file, or None where it was shipped and deleted, or replaced, meanwhile."""
    try:
        return path.stat()
    except FileNotFoundError:
        return None
