"""Reads the log files one after the other, by byte offset, in pieces of bounded size."""

from pathlib import Path

import msgspec
import structlog

from serving.gateway.log_files import LogFileHeader, log_numbers, log_path, read_header
from serving.gateway.request_log import Lines, read_lines

_log = structlog.get_logger(__name__)


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Everything before this place has been shipped; offset 0 of a file means its first record."""

    file_number: int
    offset: int


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """Lines of one file, from `start` up to `end`; reading continues at `after`. Without a header there is no file."""

    header: LogFileHeader | None
    start: Place
    end: Place
    after: Place
    lines: Lines


def empty_piece(place: Place) -> Piece:
    """Return an empty piece."""
    nothing = Lines(rows=[], dead=[], markers={}, consumed=0)
    return Piece(header=None, start=place, end=place, after=place, lines=nothing)


class LogReader:
    """Reads from a place; its only state is the folder, so that the same range gives the same piece again."""

    def __init__(self, folder: Path, *, region: str) -> None:
        self._folder = folder
        self._region = region

    def next_piece(self, place: Place, *, max_bytes: int) -> Piece | None:
        """Return the complete lines after a place, or None while there is no file."""
        number = self._file_at_or_after(place.file_number)
        if number is None:
            return None
        # Checked before reading: whatever is written in between is then read, and the next call continues with the next
        # file.
        following = self._final_because_of(number)
        header, first = read_header(log_path(self._folder, number))
        offset = max(place.offset, first) if place.file_number == number else first
        data = self._bytes(number, offset, max_bytes)
        # None of our lines fills a whole piece, so this is not a record.
        is_all = len(data) == max_bytes and b"\n" not in data
        is_last = following is not None and len(data) < max_bytes
        lines = read_lines(data, header=header, offset=offset, region=self._region, is_final=is_all or is_last)
        end = Place(file_number=number, offset=offset + lines.consumed)
        is_read = is_last and lines.consumed == len(data)
        return Piece(
            header=header,
            start=Place(file_number=number, offset=offset),
            end=end,
            after=Place(file_number=following, offset=0) if following is not None and is_read else end,
            lines=lines,
        )

    def read(self, start: Place, end: Place) -> Piece:
        """Read the range of an earlier piece; it gives the same piece again."""
        header, _ = read_header(log_path(self._folder, start.file_number))
        data = self._bytes(start.file_number, start.offset, end.offset - start.offset)
        lines = read_lines(data, header=header, offset=start.offset, region=self._region, is_final=True)
        return Piece(header=header, start=start, end=end, after=end, lines=lines)

    def delete_before(self, file_number: int) -> None:
        """Delete the files that are completely shipped."""
        for number in log_numbers(self._folder):
            if number < file_number:
                log_path(self._folder, number).unlink()
                _log.info("request_log_deleted", file_number=number)

    def is_final(self, number: int) -> bool:
        """Return whether Envoy can no longer write to a file."""
        return self._final_because_of(number) is not None

    def _bytes(self, number: int, offset: int, length: int) -> bytes:
        with log_path(self._folder, number).open("rb") as file:
            file.seek(offset)
            return file.read(length)

    def _file_at_or_after(self, number: int) -> int | None:
        return next((there for there in log_numbers(self._folder) if there >= number), None)

    def _final_because_of(self, number: int) -> int | None:
        """Return the file that follows one that Envoy can no longer write to.

        A file of another Envoy proves that the previous one is dead, because a lock excludes two at a time. A file of
        the same Envoy proves it once it contains a record, because Envoy writes to one file at a time.
        """
        following = self._file_at_or_after(number + 1)
        if following is None:
            return None
        header, first = read_header(log_path(self._folder, following))
        has_begun = log_path(self._folder, following).stat().st_size > first
        own, _ = read_header(log_path(self._folder, number))
        return following if has_begun or header.gateway_id != own.gateway_id else None
