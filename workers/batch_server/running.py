"""Runs one batch from its current state to its end. Each step can be restarted after a kill."""

import asyncio
from pathlib import Path
from typing import Any, cast, get_args

import msgspec
import structlog

from schemas.events.batches import BatchFile, BatchProblem
from workers.batch_server import input_lines
from workers.batch_server.book import ENDED, BatchRecord
from workers.batch_server.errors import PartAwayError, RefusedError
from workers.batch_server.file_store import StoredFile, digest_of
from workers.batch_server.input_lines import Checked, Rules
from workers.batch_server.line_work import CANCELLED, EXPIRED, NOT_ASKED, LineWork
from workers.batch_server.parts import Parts, Plane
from workers.batch_server.results import ERRORS, OUTPUT
from workers.batch_server.stop import Stop
from workers.batch_server.wire import Problem, Status

_SHUTDOWN = "shutdown"
_FIRST_PAUSE_S, _MAX_PAUSE_S = 0.5, 15.0
_NEVER_ASKED = frozenset(error.code for error in NOT_ASKED.values())
_FILE_NAMES = {OUTPUT: "output", ERRORS: "errors"}

_log = structlog.get_logger(__name__)


class BatchRun:
    """A running batch."""

    def __init__(self, batch_id: str, parts: Parts) -> None:
        self._id = batch_id
        self._parts = parts
        self._stop = Stop()
        self._leaving = asyncio.Event()
        self._work: LineWork | None = None

    @property
    def record(self) -> BatchRecord:
        """The record of the batch."""
        return self._parts.book[self._id]

    @property
    def counts(self) -> tuple[int, int] | None:
        """How many requests have an answer and how many an error, while they are being sent."""
        return (self._work.results.counts[True], self._work.results.counts[False]) if self._work else None

    def leave(self) -> None:
        """Stop; the next process resumes."""
        self._leaving.set()
        self._stop.set(_SHUTDOWN)

    def cancel(self) -> None:
        """Note that the log says so: send nothing more."""
        if self.record.status in ("validating", "in_progress"):
            self._keep(self.record.moved("cancelling", now_s=self._parts.now_s))
        self._stop.set(CANCELLED)

    async def run(self) -> None:
        """Take step after step until the batch has ended, or the program ends."""
        pause_s = _FIRST_PAUSE_S
        while self.record.is_open and not self._leaving.is_set():
            try:
                await self._step()
                pause_s = _FIRST_PAUSE_S
                continue
            except (PartAwayError, OSError) as error:
                _log.warning("batch_waits", batch_id=self._id, reason=str(error), wait_s=pause_s)
            except RefusedError as error:
                _log.warning("batch_refused", batch_id=self._id, code=error.code, reason=str(error))
                await self._take_over(error)
            except Exception:  # noqa: BLE001  one batch's outermost level
                # A bug with one batch must not end those of everybody else.
                _log.exception("batch_broken", batch_id=self._id)
                pause_s = _MAX_PAUSE_S
            await self._pause(pause_s)
            pause_s = min(pause_s * 2, _MAX_PAUSE_S)

    async def _step(self) -> None:
        record = self.record
        match record.status:
            case _ if not record.is_announced:
                await self._give_up_creation(record)
            case "validating":
                await self._validate()
            case "in_progress" | "cancelling" if record.requests:
                await self._ask_all()
            case "cancelling":
                await self._finish(output=None, errors=None, not_asked=0)
            case _:
                await self._publish()

    @property
    def _plane(self) -> Plane:
        return self._parts.plane.within(self.record.workspace)

    async def _give_up_creation(self, record: BatchRecord) -> None:
        # The caller got no answer and may have created the batch again: two must not run.
        await self._plane.create(creation_of(record))
        await self._plane.cancel(record.id, reason="its creation was never confirmed")
        announced = msgspec.structs.replace(record, is_announced=True)
        self._keep(announced.moved("cancelling", now_s=self._parts.now_s))

    async def _validate(self) -> None:
        record, parts = self.record, self._parts
        rules = Rules(
            endpoint=record.endpoint,
            max_requests=parts.settings.max_requests,
            max_line_bytes=parts.settings.max_line_bytes,
        )
        async with parts.checking:
            found = await asyncio.to_thread(input_lines.checked, parts.book.input(record.id), rules)
        problems = tuple(found.problems) or await self._missing_models(found)
        if problems:
            await self._fail(problems)
            return
        answer = await self._plane.start(record.id, requests=found.requests)
        if answer.phase == "cancelling":
            self.cancel()
            return
        # A cancellation since then is one of a started batch.
        self._keep(msgspec.structs.replace(self.record, requests=found.requests))
        if self.record.status == "validating":
            self._keep(self.record.moved("in_progress", now_s=parts.now_s))

    async def _fail(self, problems: tuple[Problem, ...]) -> None:
        reported = tuple(BatchProblem(code=one.code, line=one.line) for one in problems)
        await self._plane.fail(self._id, reported)
        failed = msgspec.structs.replace(self.record, problems=problems)
        self._end(failed, "failed")
        _log.info("batch_failed", batch_id=self._id, problems=len(problems))

    async def _missing_models(self, found: Checked) -> tuple[Problem, ...]:
        problems = []
        scopes = {scope.lower() for scope in self.record.scopes}
        for model, line in found.models.items():
            endpoint = model.partition("@")[0].partition(":")[0].lower()
            if endpoint not in scopes and "*" not in scopes:
                why = f"the token that created the batch may not call {model[:100]!r}; mint one that is allowed to"
            elif not await self._plane.has_endpoint(endpoint):
                why = f"there is no endpoint {model[:100]!r}; list them with GET /v1/models"
            else:
                continue
            problems.append(Problem(code="model_not_found", line=line, message=why, param="body.model"))
        return tuple(problems)

    async def _ask_all(self) -> None:
        if self.record.status == "cancelling":
            self._stop.set(CANCELLED)
        self._work = LineWork(self.record, self._parts, stop=self._stop)
        watcher = asyncio.create_task(self._watch())
        try:
            await self._work.run()
        finally:
            watcher.cancel()
            await asyncio.gather(watcher, return_exceptions=True)
            self._work = None
        if self._leaving.is_set():
            return
        if self.record.status == "in_progress":
            self._keep(self.record.moved("finalizing", now_s=self._parts.now_s))
        await self._publish()

    async def _watch(self) -> None:
        """Stop when time runs out, or when the log says that the batch was cancelled."""
        while True:
            left_s = self.record.expires_at_s - self._parts.clock.now_ms() / 1_000
            if left_s <= 0:
                self._stop.set(EXPIRED)
            elif self.record.status == "in_progress":
                await self._check_cancelled()
            await asyncio.sleep(max(0.01, min(left_s, self._parts.look_s)) if left_s > 0 else self._parts.look_s)

    async def _check_cancelled(self) -> None:
        try:
            answer = await self._plane.batch(self._id)
            if answer.phase == "cancelling":
                self.cancel()
        except (PartAwayError, RefusedError, OSError) as error:
            _log.warning("batch_not_looked_up", batch_id=self._id, reason=str(error))

    async def _publish(self) -> None:
        record, folder = self.record, self._parts.book.folder(self._id)
        not_asked = await asyncio.to_thread(_count_not_asked, folder / ERRORS)
        output = await self._published(folder / OUTPUT, record.output_file_id)
        errors = await self._published(folder / ERRORS, record.error_file_id)
        await self._finish(output=output, errors=errors, not_asked=not_asked)

    async def _published(self, path: Path, file_id: str) -> BatchFile | None:
        """Make a file for the caller from the results, if there are any."""
        sha256, size_bytes, lines = await asyncio.to_thread(digest_of, path)
        if not lines:
            return None
        record, now_s = self.record, self._parts.now_s
        stored = StoredFile(
            id=file_id,
            workspace=record.workspace,
            owner=record.owner,
            filename=f"{record.id}_{_FILE_NAMES[path.name]}.jsonl",
            purpose="batch_output",
            size_bytes=size_bytes,
            sha256=sha256,
            created_at_s=now_s,
            expires_at_s=now_s + record.files_live_s,
        )
        await asyncio.to_thread(self._parts.files.adopt, path, stored)
        return BatchFile(file_id=file_id, sha256=sha256, size_bytes=size_bytes, lines=lines)

    async def _finish(self, *, output: BatchFile | None, errors: BatchFile | None, not_asked: int) -> None:
        counts = {
            "completed": output.lines if output else 0,
            "failed": (errors.lines if errors else 0) - not_asked,
            "not_asked": not_asked,
        }
        answer = await self._plane.finish(self._id, counts, output=output, errors=errors)
        self._end(msgspec.structs.replace(self.record, **counts), _status(answer.phase))
        _log.info("batch_ended", batch_id=self._id, phase=answer.phase, **counts)

    def _end(self, record: BatchRecord, status: Status) -> None:
        self._keep(record.moved(status, now_s=self._parts.now_s))
        self._parts.book.clear(self._id)

    async def _take_over(self, error: RefusedError) -> None:
        """Follow the log if it says that the batch does not exist, or has ended."""
        if error.code in ("batch-not-found", "principal-not-found"):
            problem = Problem(code="batch_not_in_the_log", line=None, message=str(error))
            self._end(msgspec.structs.replace(self.record, problems=(problem,)), "failed")
        elif error.code == "batch-finished":
            try:
                answer = await self._plane.batch(self._id)
            except (PartAwayError, RefusedError) as later:
                _log.warning("batch_not_looked_up", batch_id=self._id, reason=str(later))
                return
            if answer.phase in ENDED:
                self._end(self.record, _status(answer.phase))

    def _keep(self, record: BatchRecord) -> None:
        self._parts.book.keep(record)

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._leaving.wait()
        except TimeoutError:
            return


def creation_of(record: BatchRecord) -> dict[str, Any]:
    """Return the request that announces a new batch to the control plane."""
    return {
        "batch_id": record.id,
        "owner_id": record.owner,
        "endpoint": record.endpoint,
        "input": {
            "file_id": record.input_file_id,
            "sha256": record.input_sha256,
            "size_bytes": record.input_bytes,
        },
        "scopes": record.scopes,
        "window_s": record.window_s,
    }


class _ErrorLine(msgspec.Struct, frozen=True):
    error: "_Code | None" = None


class _Code(msgspec.Struct, frozen=True):
    code: str


def _count_not_asked(path: Path) -> int:
    with path.open("rb") as file:
        return sum(map(_is_not_asked, file))


def _is_not_asked(line: bytes) -> bool:
    try:
        error = msgspec.json.decode(line, type=_ErrorLine).error
    except RecursionError:
        # Nested lists are those of an answer.
        return False
    return error is not None and error.code in _NEVER_ASKED


def _status(phase: str) -> Status:
    """Read from the log how a batch ended."""
    assert phase in get_args(Status), phase
    return cast("Status", phase)
