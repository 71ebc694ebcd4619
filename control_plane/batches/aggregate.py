"""The batch: from its creation to its one end. The sender counts; what the counts mean is decided here."""

import msgspec
from msgspec.structs import asdict, replace

from control_plane.batches.commands import CancelBatch, CreateBatch, FailBatch, FinishBatch, StartBatch
from control_plane.batches.errors import (
    BatchCountsError,
    BatchFinishedError,
    BatchIdTakenError,
    BatchNotStartedError,
    BatchUnfinishedError,
)
from control_plane.ports import EventContext
from schemas.documents.batches import Batch, BatchPhase
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

End = BatchCompleted | BatchCancelled | BatchExpired
_PHASES: dict[type[End], BatchPhase] = {
    BatchCompleted: "completed",
    BatchCancelled: "cancelled",
    BatchExpired: "expired",
}
_ENDS: dict[BatchPhase, type[End]] = {phase: end for end, phase in _PHASES.items()}
_OPEN: frozenset[BatchPhase] = frozenset({"validating", "in_progress", "cancelling"})


class BatchState(Batch, frozen=True, kw_only=True):
    """A batch that was created: its document, and where its stream is."""

    stream_version: int

    @property
    def is_open(self) -> bool:
        """Whether there is still something to do."""
        return self.phase in _OPEN


def evolve(state: BatchState | None, event: msgspec.Struct, context: EventContext) -> BatchState:
    """Fold one event; it happened, so nothing is refused here. The first one creates the batch."""
    if isinstance(event, BatchCreated):
        return _created(event, context)
    assert state is not None, "nothing happens to a batch before it is created"
    state = replace(_evolved(state, event), stream_version=context.version)
    is_ended = not state.is_open and state.ended_at is None
    return replace(state, ended_at=context.at) if is_ended else state


def _created(event: BatchCreated, context: EventContext) -> BatchState:
    return BatchState(
        id=context.stream,
        workspace=context.workspace,
        phase="validating",
        **asdict(event),
        requests=None,
        completed=None,
        failed=None,
        not_asked=None,
        output=None,
        errors=None,
        problems=(),
        cancelled_because=None,
        created_at=context.at,
        ended_at=None,
        stream_version=context.version,
    )


def _evolved(state: BatchState, event: msgspec.Struct) -> BatchState:
    match event:
        case BatchStarted(requests=requests):
            return replace(state, phase="in_progress", requests=requests)
        case BatchFailed(problems=problems):
            return replace(state, phase="failed", problems=problems)
        case BatchCancellationRequested(reason=reason):
            return replace(state, phase="cancelling", cancelled_because=reason)
        case BatchCompleted() | BatchCancelled() | BatchExpired():
            return replace(state, phase=_PHASES[type(event)], **{"not_asked": 0} | asdict(event))
        case _:
            return state


def create(state: BatchState | None, command: CreateBatch, *, now_ms: int) -> list[msgspec.Struct]:
    """Begin a batch; the same said again changes nothing."""
    created = BatchCreated(
        owner_id=command.owner_id,
        endpoint=command.endpoint,
        input=msgspec.convert(command.input, BatchInput, from_attributes=True),
        scopes=command.scopes,
        expires_at=state.expires_at if state else rfc3339(now_ms + command.window_s * 1_000),
    )
    if state is None:
        return [created]
    if msgspec.convert(state, BatchCreated, from_attributes=True) != created:
        raise BatchIdTakenError(command.batch_id)
    return []


def start(state: BatchState, command: StartBatch) -> list[msgspec.Struct]:
    """Note that the input is good. A batch that was cancelled meanwhile is not started: the answer says so."""
    _require_open(state)
    if state.requests is not None and state.requests != command.requests:
        raise BatchCountsError(f"the batch has {state.requests} requests", field="requests")
    return [BatchStarted(requests=command.requests)] if state.phase == "validating" else []


def fail(state: BatchState, command: FailBatch) -> list[msgspec.Struct]:
    """Note that the input is not a list of requests."""
    problems = tuple(BatchProblem(code=one.code, line=one.line) for one in command.problems)
    if state.phase == "failed" and state.problems == problems:
        return []
    _require_open(state)
    if state.requests is not None:
        raise BatchCountsError("the input was already validated", field="problems")
    return [BatchFailed(problems=problems)]


def cancel(state: BatchState, command: CancelBatch) -> list[msgspec.Struct]:
    """Ask for the end of a batch; asked twice is asked once."""
    if state.phase in ("cancelling", "cancelled"):
        return []
    _require_open(state)
    return [BatchCancellationRequested(reason=command.reason)]


def finish(state: BatchState, command: FinishBatch, *, now_ms: int) -> list[msgspec.Struct]:
    """End a batch, as its state, its counts and the time say."""
    end = _end(state, command)
    known = _ENDS.get(state.phase)
    if known is not None and msgspec.convert(state, known, from_attributes=True) == end:
        return []
    _require_open(state)
    _require_matching_counts(state, command)
    if isinstance(end, BatchExpired) and rfc3339(now_ms) < state.expires_at:
        raise BatchUnfinishedError(command.not_asked, state.expires_at)
    return [end]


def _end(state: BatchState, command: FinishBatch) -> End:
    output = None if command.output is None else msgspec.convert(command.output, BatchFile, from_attributes=True)
    errors = None if command.errors is None else msgspec.convert(command.errors, BatchFile, from_attributes=True)
    if state.phase not in ("cancelling", "cancelled") and command.not_asked == 0:
        return BatchCompleted(completed=command.completed, failed=command.failed, output=output, errors=errors)
    kind = BatchCancelled if state.phase in ("cancelling", "cancelled") else BatchExpired
    return kind(
        completed=command.completed, failed=command.failed, not_asked=command.not_asked, output=output, errors=errors
    )


def _require_open(state: BatchState) -> None:
    if not state.is_open:
        raise BatchFinishedError(state.id, state.phase)


def _require_matching_counts(state: BatchState, command: FinishBatch) -> None:
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
