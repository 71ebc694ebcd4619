"""The results of a batch's requests: two files that grow by whole lines and end up as the output and error files.

A request is done once its line is on disk. After a kill, the files show what is done; a half-written line is truncated,
and its request sent again. So each request has one line in one of the files, whatever happens.
"""

import asyncio
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import msgspec
import structlog

from workers.batch_server.wire import Line, LineError, LineResponse

OUTPUT, ERRORS = "output.jsonl", "errors.jsonl"
_QUEUED = 64
_GROUP_BYTES = 4 * 1024 * 1024
_TRY_AGAIN_S = 2.0
_PREFIX = "batch_req"

_log = structlog.get_logger(__name__)


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One request's line, not written yet."""

    number: int
    line: bytes
    is_answer: bool


class _Read(msgspec.Struct, frozen=True):
    """What is read from a line after a kill; the whole line has to be JSON."""

    id: str


def answered(batch_id: str, number: int, custom_id: str, *, response: LineResponse) -> Result:
    """Make the line of an answered request; an error answer goes to the error file."""
    line = Line(id=_line_id(batch_id, number), custom_id=custom_id, response=response, error=None)
    is_answer = 200 <= response.status_code < 300  # noqa: PLR2004  the successes of HTTP
    return Result(number=number, line=msgspec.json.encode(line) + b"\n", is_answer=is_answer)


def unanswered(batch_id: str, number: int, custom_id: str, *, error: LineError) -> Result:
    """Make the line of a request without an answer."""
    line = Line(id=_line_id(batch_id, number), custom_id=custom_id, response=None, error=error)
    return Result(number=number, line=msgspec.json.encode(line) + b"\n", is_answer=False)


class Results:
    """The result files of one batch. Lines are written in groups, each synced before its requests count as done."""

    def __init__(self, folder: Path, *, requests: int) -> None:
        self._paths = {True: folder / OUTPUT, False: folder / ERRORS}
        self._files: dict[bool, BinaryIO] = {}
        self._sizes: dict[bool, int] = {}
        self._done = bytearray(requests)
        self._queue: asyncio.Queue[Result] = asyncio.Queue(_QUEUED)
        self.counts = {True: 0, False: 0}

    def open(self) -> None:
        """Read what is done, and truncate what was being written."""
        for is_answer, path in self._paths.items():
            file = path.open("a+b")
            self._files[is_answer] = file
            self._sizes[is_answer] = self._recover(file, is_answer=is_answer)
            file.truncate(self._sizes[is_answer])

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            with suppress(OSError):
                file.close()

    def is_done(self, number: int) -> bool:
        """Return whether a request has its line."""
        return bool(self._done[number])

    @property
    def left(self) -> int:
        """The number of requests that are not done."""
        return self._done.count(0)

    async def put(self, result: Result) -> None:
        """Queue a line for writing; wait while the queue is full."""
        await self._queue.put(result)

    async def written(self) -> None:
        """Wait until all queued lines are on disk."""
        await self._queue.join()

    async def write_forever(self) -> None:
        """Write queued lines, as many at once as there are; retry while the disk is full."""
        while True:
            group = [await self._queue.get()]
            while not self._queue.empty() and sum(len(one.line) for one in group) < _GROUP_BYTES:
                group.append(self._queue.get_nowait())
            await self._commit(group)
            for result in group:
                self._done[result.number] = 1
                self.counts[result.is_answer] += 1
                self._queue.task_done()

    async def _commit(self, group: Sequence[Result]) -> None:
        while True:
            try:
                await asyncio.to_thread(self._write, group)
            except OSError as error:
                _log.error("results_not_kept", reason=str(error), results=len(group), wait_s=_TRY_AGAIN_S)
                await asyncio.sleep(_TRY_AGAIN_S)
            else:
                return

    def _write(self, group: Sequence[Result]) -> None:
        pieces = {kind: b"".join(one.line for one in group if one.is_answer is kind) for kind in self._files}
        try:
            for kind, piece in pieces.items():
                if piece:
                    _append(self._files[kind], piece)
        except OSError:
            # All of a group or nothing: a part of it would be written a second time.
            for kind, file in self._files.items():
                file.truncate(self._sizes[kind])
            raise
        for kind, piece in pieces.items():
            self._sizes[kind] += len(piece)

    def _recover(self, file: BinaryIO, *, is_answer: bool) -> int:
        good, decode = 0, msgspec.json.Decoder(_Read).decode
        file.seek(0)
        for line in file:
            number = _number_in(line, decode, requests=len(self._done))
            if number is None:
                _log.warning("result_cut_off", file=file.name, at=good)
                break
            good += len(line)
            self._done[number] = 1
            self.counts[is_answer] += 1
        return good


def _append(file: BinaryIO, piece: bytes) -> None:
    left = memoryview(piece)
    while left:
        left = left[os.write(file.fileno(), left) :]
    os.fsync(file.fileno())


def _number_in(line: bytes, decode: Callable[[bytes], _Read], *, requests: int) -> int | None:
    if not line.endswith(b"\n"):
        return None
    try:
        number = int(decode(line).id.rpartition("_")[2])
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError):
        return None
    return number if 0 <= number < requests else None


def _line_id(batch_id: str, number: int) -> str:
    return f"{_PREFIX}_{batch_id.partition('-')[2]}_{number}"
