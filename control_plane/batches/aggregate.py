"""The batch: from its creation to its one end. The sender counts; what the counts mean is decided here."""

from typing import Literal

import msgspec

from control_plane.batches.commands import CancelBatch, CreateBatch, FailBatch, FinishBatch, StartBatch
from control_plane.batches.errors import (
    BatchCountsError,
    BatchFinishedError,
    BatchIdTakenError,
    BatchNotStartedError,
    BatchUnfinishedError,
)
from control_plane.ports import EventContext
from schemas.envelope import rfc3339
from schemas.events.batches import (
    BatchCancellationRequested,
    BatchCancelled,
    BatchCompleted,
    BatchCreated,
    BatchExpired,
    BatchFailed,
    BatchFile,
    BatchInput,
    BatchProblem,
    BatchStarted,
)

BatchPhase = Literal["", "validating", "in_progress", "cancelling", "completed", "failed", "cancelled", "expired"]
End = BatchCompleted | BatchCancelled | BatchExpired
_PHASES: dict[type[End], BatchPhase] = {
    BatchCompleted: "completed",
    BatchCancelled: "cancelled",
    BatchExpired: "expired",
}
_OPEN: frozenset[BatchPhase] = frozenset({"validating", "in_progress", "cancelling"})


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """What decisions and the catalogue need of a batch."""

    id: str = ""
    workspace: str = ""
    created_at: str = ""
    stream_version: int = 0
    phase: BatchPhase = ""
    created: BatchCreated | None = None
    requests: int | None = None
    cancelled_because: str | None = None
    problems: tuple[BatchProblem, ...] = ()
    end: End | None = None
    ended_at: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether there is still something to do."""
        return self.phase in _OPEN


def evolve(state: Batch, event: msgspec.Struct, context: EventContext) -> Batch:
    """Fold one event; it happened, so nothing is refused here."""
    if state.stream_version == 0:
        state = Batch(id=context.stream, workspace=context.workspace, created_at=context.at)
    state = msgspec.structs.replace(_evolved(state, event), stream_version=context.version)
    is_ended = not state.is_open and state.ended_at is None
    return msgspec.structs.replace(state, ended_at=context.at) if is_ended else state


def _evolved(state: Batch, event: msgspec.Struct) -> Batch:
    replace = msgspec.structs.replace
    match event:
        case BatchCreated():
            return replace(state, phase="validating", created=event)
        case BatchStarted(requests=requests):
            return replace(state, phase="in_progress", requests=requests)
        case BatchFailed(problems=problems):
            return replace(state, phase="failed", problems=problems)
        case BatchCancellationRequested(reason=reason):
            return replace(state, phase="cancelling", cancelled_because=reason)
        case BatchCompleted() | BatchCancelled() | BatchExpired():
            return replace(state, phase=_PHASES[type(event)], end=event)
        case _:
            return state


def create(state: Batch, command: CreateBatch, *, now_ms: int) -> list[msgspec.Struct]:
    """Begin a batch; the same said again changes nothing."""
    known = state.created
    created = BatchCreated(
        owner_id=command.owner_id,
        endpoint=command.endpoint,
        input=msgspec.convert(command.input, BatchInput, from_attributes=True),
        scopes=command.scopes,
        expires_at=known.expires_at if known else rfc3339(now_ms + command.window_s * 1_000),
    )
    if known is not None and known != created:
        raise BatchIdTakenError(command.batch_id)
    return [] if known else [created]


def start(state: Batch, command: StartBatch) -> list[msgspec.Struct]:
    """Note that the input is good. A batch that was cancelled meanwhile is not started: the answer says so."""
    _require_open(state)
    if state.requests is not None and state.requests != command.requests:
        raise BatchCountsError(f"the batch has {state.requests} requests", field="requests")
    return [BatchStarted(requests=command.requests)] if state.phase == "validating" else []


def fail(state: Batch, command: FailBatch) -> list[msgspec.Struct]:
    """Note that the input is not a list of requests."""
    problems = tuple(BatchProblem(code=one.code, line=one.line) for one in command.problems)
    if state.phase == "failed" and state.problems == problems:
        return []
    _require_open(state)
    if state.requests is not None:
        raise BatchCountsError("the input was already validated", field="problems")
    return [BatchFailed(problems=problems)]


def cancel(state: Batch, command: CancelBatch) -> list[msgspec.Struct]:
    """Ask for the end of a batch; asked twice is asked once."""
    if state.phase in ("cancelling", "cancelled"):
        return []
    _require_open(state)
    return [BatchCancellationRequested(reason=command.reason)]


def finish(state: Batch, command: FinishBatch, *, now_ms: int) -> list[msgspec.Struct]:
    """End a batch, as its state, its counts and the time say."""
    end = _end(state, command)
    if state.end is not None and end == state.end:
        return []
    _require_open(state)
    _require_matching_counts(state, command)
    if isinstance(end, BatchExpired):
        assert state.created
        if rfc3339(now_ms) < state.created.expires_at:
            raise BatchUnfinishedError(command.not_asked, state.created.expires_at)
    return [end]


def _end(state: Batch, command: FinishBatch) -> End:
    output = None if command.output is None else msgspec.convert(command.output, BatchFile, from_attributes=True)
    errors = None if command.errors is None else msgspec.convert(command.errors, BatchFile, from_attributes=True)
    if state.phase not in ("cancelling", "cancelled") and command.not_asked == 0:
        return BatchCompleted(completed=command.completed, failed=command.failed, output=output, errors=errors)
    kind = BatchCancelled if state.phase in ("cancelling", "cancelled") else BatchExpired
    return kind(
        completed=command.completed, failed=command.failed, not_asked=command.not_asked, output=output, errors=errors
    )


def _require_open(state: Batch) -> None:
    if not state.is_open:
        raise BatchFinishedError(state.id, state.phase)


def _require_matching_counts(state: Batch, command: FinishBatch) -> None:
    """Hold the promise: a line for each request, in the one file or the other."""
    if state.requests is None and state.phase != "cancelling":
        raise BatchNotStartedError(state.id)
    counted = command.completed + command.failed + command.not_asked
    if counted != (state.requests or 0):
        raise BatchCountsError(f"{counted} requests reported, but the batch has {state.requests or 0}", field="failed")
    for field, file, lines in (
        ("output", command.output, command.completed),
        ("errors", command.errors, command.failed + command.not_asked),
    ):
        if (file.lines if file else 0) != lines:
            raise BatchCountsError(f"the file must have {lines} lines", field=field)
