"""Creates, cancels and shows batches, and runs those that have not ended."""

import asyncio
import re
from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated, Literal

import msgspec

from schemas.envelope import unix_ms
from schemas.events.batches import BatchEndpoint
from workers.batch_server.book import BatchRecord
from workers.batch_server.callers import Caller
from workers.batch_server.errors import ApiError, PartAwayError, RefusedError, control_plane_unavailable
from workers.batch_server.parts import Parts
from workers.batch_server.running import BatchRun, creation_of
from workers.batch_server.uploads import checked_life_s
from workers.batch_server.wire import BatchObject

_UNIT_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_WINDOW = re.compile(r"(?P<count>[1-9]\d{0,5})(?P<unit>[smhd])")
_MAX_WINDOW_S = 7 * 86_400
_DAY_S = 86_400
_LEAVE_S = 5.0


class FilesLife(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """For how long a batch's results are kept."""

    anchor: Literal["created_at"]
    seconds: int


class CreateBatchBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A caller's request for a batch."""

    input_file_id: str
    endpoint: BatchEndpoint
    completion_window: str
    metadata: (
        Annotated[
            dict[
                Annotated[str, msgspec.Meta(min_length=1, max_length=64)], Annotated[str, msgspec.Meta(max_length=512)]
            ],
            msgspec.Meta(max_length=16),
        ]
        | None
    ) = None
    output_expires_after: FilesLife | None = None


class Batches:
    """All batches. `new_id` makes ids of batches, and `new_file_id` ids of files."""

    def __init__(self, parts: Parts, *, new_id: Callable[[], str], new_file_id: Callable[[], str]) -> None:
        self._parts = parts
        self._new_id = new_id
        self._new_file_id = new_file_id
        self._runs: dict[str, BatchRun] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def begin(self) -> None:
        """Continue what an earlier process left."""
        for record in self._parts.book.open_ones():
            self._run(record.id)

    async def close(self) -> None:
        """Stop all of them; the next process resumes."""
        for run in self._runs.values():
            run.leave()
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=_LEAVE_S)
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def create(self, caller: Caller, body: CreateBatchBody) -> BatchObject:
        """Start a batch; when this returns, it is in the log.

        Raises:
            ApiError: it cannot be started; nothing of it runs.
        """
        source = self._parts.files.of(caller, body.input_file_id)
        if source.purpose != "batch":
            raise ApiError(
                HTTPStatus.BAD_REQUEST,
                f"the file's purpose is {source.purpose!r}; upload one for the purpose 'batch'",
                code="invalid_purpose",
                param="input_file_id",
            )
        limit = self._parts.settings.max_open_batches
        if len(self._parts.book.open_ones()) >= limit:
            raise ApiError(
                HTTPStatus.TOO_MANY_REQUESTS,
                f"{limit} batches have not ended; try again when one has",
                code="too_many_batches",
                kind="rate_limit_error",
            )
        record = self._new(caller, body, size_bytes=source.size_bytes, sha256=source.sha256)
        self._parts.book.add(record, content=self._parts.files.content(source))
        await self._announce(record)
        self._run(record.id)
        return self.shown(self._parts.book[record.id])

    async def cancel(self, caller: Caller, batch_id: str) -> BatchObject:
        """Cancel a batch.

        Raises:
            ApiError: the caller has no such batch, or it has ended.
        """
        record = self._parts.book.of(caller, batch_id)
        if record.status in ("cancelling", "cancelled"):
            return self.shown(record)
        if record.status not in ("validating", "in_progress"):
            raise ApiError(
                HTTPStatus.BAD_REQUEST,
                f"a batch that is {record.status} cannot be cancelled",
                code="batch_not_cancellable",
                param="batch_id",
            )
        await self.end(batch_id, reason="requested by its owner")
        return self.shown(self._parts.book[batch_id])

    async def end(self, batch_id: str, *, reason: str) -> None:
        """Record that a batch is to end, and stop sending.

        Raises:
            ApiError: the control plane does not answer, or refuses.
        """
        try:
            plane = self._parts.plane.within(self._parts.book[batch_id].workspace)
            await plane.cancel(batch_id, reason=reason)
        except PartAwayError as error:
            raise control_plane_unavailable() from error
        except RefusedError as error:
            raise _refused(error) from error
        if batch_id in self._runs:
            self._runs[batch_id].cancel()

    def shown(self, record: BatchRecord) -> BatchObject:
        """Return a batch as its owner sees it, with the current counts."""
        run = self._runs.get(record.id)
        completed, failed = (run.counts if run else None) or (None, None)
        return record.shown(completed=completed, failed=failed)

    def of(self, caller: Caller, batch_id: str) -> BatchObject:
        """Return one of the caller's batches.

        Raises:
            ApiError: there is none with this id.
        """
        return self.shown(self._parts.book.of(caller, batch_id))

    def all_of(self, caller: Caller) -> list[BatchObject]:
        """Return the caller's batches, newest first."""
        return [self.shown(record) for record in self._parts.book.all_of(caller)]

    def _run(self, batch_id: str) -> None:
        run = BatchRun(batch_id, self._parts)
        self._runs[batch_id] = run
        task = asyncio.create_task(run.run())
        self._tasks[batch_id] = task
        task.add_done_callback(lambda _: self._forget(batch_id))

    def _forget(self, batch_id: str) -> None:
        self._runs.pop(batch_id, None)
        self._tasks.pop(batch_id, None)

    async def _announce(self, record: BatchRecord) -> None:
        try:
            answer = await self._parts.plane.within(record.workspace).create(creation_of(record))
        except PartAwayError as error:
            # It may be in the log although no answer came; this is settled once the control plane answers.
            self._run(record.id)
            raise control_plane_unavailable() from error
        except RefusedError as error:
            self._parts.book.forget(record.id)
            raise _refused(error) from error
        announced = msgspec.structs.replace(
            record, is_announced=True, expires_at_s=-(-unix_ms(answer.expires_at) // 1_000)
        )
        self._parts.book.keep(announced)

    def _new(self, caller: Caller, body: CreateBatchBody, *, size_bytes: int, sha256: str) -> BatchRecord:
        now_s, window_s = self._parts.now_s, _window_s(body.completion_window)
        life = body.output_expires_after
        return BatchRecord(
            id=self._new_id(),
            workspace=caller.workspace,
            owner=caller.subject,
            scopes=caller.scopes,
            endpoint=body.endpoint,
            input_file_id=body.input_file_id,
            input_sha256=sha256,
            input_bytes=size_bytes,
            window=body.completion_window,
            window_s=window_s,
            metadata=body.metadata,
            files_live_s=checked_life_s(life.seconds) if life else self._parts.settings.retention_days * _DAY_S,
            output_file_id=self._new_file_id(),
            error_file_id=self._new_file_id(),
            created_at_s=now_s,
            expires_at_s=now_s + window_s,
        )


def _window_s(text: str) -> int:
    match = _WINDOW.fullmatch(text)
    seconds = int(match["count"]) * _UNIT_S[match["unit"]] if match else 0
    if not 0 < seconds <= _MAX_WINDOW_S:
        raise ApiError(
            HTTPStatus.BAD_REQUEST,
            f"the completion window is {text[:20]!r}; send '24h', or another time of up to 7 days as '90m' or '2d'",
            code="invalid_completion_window",
            param="completion_window",
        )
    return seconds


def _refused(error: RefusedError) -> ApiError:
    return ApiError(
        HTTPStatus.BAD_REQUEST, f"the control plane rejected the request: {error}", code=error.code.replace("-", "_")
    )
