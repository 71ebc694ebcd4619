"""Keeps the request log within a size while nothing can be shipped: old files lose detail, and no request its count."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import structlog

from serving.gateway.log_files import force_names, log_numbers, log_path, read_header
from serving.gateway.log_reader import LogReader
from serving.gateway.log_thinning import STEPS, thinned
from serving.gateway.request_log import count_requests

_EVERY_S = 5.0
_PART = ".{name}.part"

_log = structlog.get_logger(__name__)


class LogCap:
    """Thins the oldest files first, each once by each step of coarseness, until the log is within its size.

    `in_use` is the number of the last file that the shipper may read or read again; only later ones are touched, and
    only those that Envoy cannot write to any more. So a record is shipped whole or thinned, never both.
    """

    def __init__(self, folder: Path, *, reader: LogReader, max_bytes: int, in_use: Callable[[], int]) -> None:
        self._folder = folder
        self._reader = reader
        self._max_bytes = max_bytes
        self._in_use = in_use
        self.without_detail = 0
        """Requests whose lines were thinned."""

    async def run(self) -> None:
        """Look at the size again and again, until cancelled."""
        for left in self._folder.glob(_PART.format(name="requests-*.log")):
            left.unlink(missing_ok=True)
        while True:
            try:
                await self.keep_within()
            except OSError as error:
                _log.error("request_log_not_thinned", error=repr(error))
            await asyncio.sleep(_EVERY_S)

    async def keep_within(self) -> None:
        """Thin files until the log is small enough, or all of them are thinned.

        Raises:
            OSError: the disk is full or damaged; no file has changed.
        """
        for step in range(1, len(STEPS) + 1):
            for number in self._waiting():
                if self.size_bytes() <= self._max_bytes:
                    return
                if self._thinned(number) < step:
                    await self._thin(number, step=step)
        if self.size_bytes() > self._max_bytes:
            _log.error("request_log_above_its_size", bytes=self.size_bytes(), max_bytes=self._max_bytes)

    def size_bytes(self) -> int:
        """Return the size of all files."""
        return sum(map(_size, (log_path(self._folder, number) for number in log_numbers(self._folder))))

    def _thinned(self, number: int) -> int:
        """Return the last step that a file went through; one that was shipped meanwhile needs none."""
        try:
            return read_header(log_path(self._folder, number))[0].thinned
        except FileNotFoundError:
            return len(STEPS)

    def _waiting(self) -> list[int]:
        later = (number for number in log_numbers(self._folder) if number > self._in_use())
        return [number for number in later if self._reader.is_final(number)]

    async def _thin(self, number: int, *, step: int) -> None:
        path = log_path(self._folder, number)
        part = path.with_name(_PART.format(name=path.name))
        before = _size(path)
        try:
            requests = await asyncio.to_thread(_write_thinned, path, part, step)
        except FileNotFoundError:
            # It was shipped in the meantime.
            return
        except OSError:
            part.unlink(missing_ok=True)
            raise
        # The shipper takes up a file on this thread, too, so it cannot do so between the question and the renaming.
        if number <= self._in_use():
            part.unlink()
            return
        part.replace(path)
        # Else a power cut could bring back the whole file, of which the thinned one was shipped.
        await asyncio.to_thread(force_names, self._folder)
        if step == 1:
            self.without_detail += requests
        _log.warning("request_log_thinned", file_number=number, step=step, bytes_before=before, requests=requests)


def _size(path: Path) -> int:
    """Return a file's size; 0 once it is shipped and deleted."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _write_thinned(path: Path, part: Path, step: int) -> int:
    """Write the thinned file and return how many requests it has, which are as many as before."""
    header, first = read_header(path)
    with path.open("rb") as source:
        source.seek(first)
        lines = list(thinned(source, STEPS[step - 1]))
    with part.open("wb") as target:
        target.write(msgspec.json.encode(msgspec.structs.replace(header, thinned=step)) + b"\n")
        target.writelines(lines)
        target.flush()
        os.fsync(target.fileno())
    return count_requests(lines)
