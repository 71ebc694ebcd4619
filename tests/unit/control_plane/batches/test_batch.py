"""The batch decides what counts mean: an end needs a line for each request, and time or a cancellation for the rest."""

from typing import Any

import msgspec
import pytest

from control_plane.batches import aggregate
from control_plane.batches.commands import (
    CancelBatch,
    CreateBatch,
    FailBatch,
    FileBody,
    FinishBatch,
    InputBody,
    ProblemBody,
    StartBatch,
)
from control_plane.batches.errors import (
    BatchCountsError,
    BatchFinishedError,
    BatchIdTakenError,
    BatchNotStartedError,
    BatchUnfinishedError,
)
from control_plane.batches.resources import BATCHES
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
from tests.support.spec import BEGAN_MS, Given

WINDOW_S = 3_600
EXPIRES_MS = BEGAN_MS + WINDOW_S * 1_000
CREATE = CreateBatch(
    batch_id="batch-1",
    owner_id="principal-1",
    endpoint="/v1/embeddings",
    input=InputBody(file_id="file-1", sha256="a" * 64, size_bytes=100),
    scopes=("story",),
    window_s=WINDOW_S,
)
CREATED = BatchCreated(
    owner_id="principal-1",
    endpoint="/v1/embeddings",
    input=BatchInput(file_id="file-1", sha256="a" * 64, size_bytes=100),
    scopes=("story",),
    expires_at=rfc3339(EXPIRES_MS),
)
STARTED = BatchStarted(requests=10)
CANCELLATION = BatchCancellationRequested(reason="no more")


def file(lines: int) -> BatchFile | None:
    return BatchFile(file_id="file-2", sha256="b" * 64, size_bytes=9, lines=lines) if lines else None


def told(completed: int, failed: int, not_asked: int = 0) -> FinishBatch:
    """Tell counts whose files have as many lines."""

    def body(lines: int) -> FileBody | None:
        return FileBody(**msgspec.structs.asdict(found)) if (found := file(lines)) else None

    return FinishBatch(
        completed=completed,
        failed=failed,
        not_asked=not_asked,
        output=body(completed),
        errors=body(failed + not_asked),
    )


def given(*events: msgspec.Struct) -> Given[Any]:
    """Begin a story; of all decisions only the creation may find no batch, so the state is typed as either."""
    return Given(BATCHES, *events)


def test_a_batch_begins_with_its_owner_its_input_and_its_end() -> None:
    given().when(lambda batch: aggregate.create(batch, CREATE, now_ms=BEGAN_MS)).then(CREATED)


def test_the_same_creation_said_again_changes_nothing_and_another_is_refused() -> None:
    other = msgspec.structs.replace(CREATE, scopes=("*",))

    given(CREATED).when(lambda batch: aggregate.create(batch, CREATE, now_ms=EXPIRES_MS)).then_nothing()
    given(CREATED).when(lambda batch: aggregate.create(batch, other, now_ms=BEGAN_MS)).then_refused(
        BatchIdTakenError, field="batch_id"
    )


def test_a_batch_starts_once_with_one_count() -> None:
    start = StartBatch(requests=10)

    given(CREATED).when(lambda batch: aggregate.start(batch, start)).then(STARTED)
    given(CREATED, STARTED).when(lambda batch: aggregate.start(batch, start)).then_nothing()
    given(CREATED, STARTED).when(lambda batch: aggregate.start(batch, StartBatch(requests=9))).then_refused(
        BatchCountsError, "10", field="requests"
    )


def test_a_cancelled_batch_is_not_started() -> None:
    given(CREATED, CANCELLATION).when(lambda batch: aggregate.start(batch, StartBatch(requests=1))).then_nothing()


def test_an_input_that_cannot_be_run_ends_a_batch_that_was_not_started() -> None:
    fail = FailBatch(problems=(ProblemBody(code="invalid_json_line", line=3),))
    failed = BatchFailed(problems=(BatchProblem(code="invalid_json_line", line=3),))

    given(CREATED).when(lambda batch: aggregate.fail(batch, fail)).then(failed)
    given(CREATED, failed).when(lambda batch: aggregate.fail(batch, fail)).then_nothing()
    given(CREATED, STARTED).when(lambda batch: aggregate.fail(batch, fail)).then_refused(
        BatchCountsError, field="problems"
    )


def test_a_batch_whose_requests_were_all_asked_is_completed() -> None:
    completed = BatchCompleted(completed=7, failed=3, output=file(7), errors=file(3))

    given(CREATED, STARTED).when(lambda batch: aggregate.finish(batch, told(7, 3), now_ms=EXPIRES_MS)).then(completed)
    given(CREATED, STARTED, completed).when(
        lambda batch: aggregate.finish(batch, told(7, 3), now_ms=EXPIRES_MS)
    ).then_nothing()


def test_requests_may_be_left_once_the_time_is_over_and_not_before() -> None:
    expired = BatchExpired(completed=7, failed=1, not_asked=2, output=file(7), errors=file(3))

    given(CREATED, STARTED).when(lambda batch: aggregate.finish(batch, told(7, 1, 2), now_ms=EXPIRES_MS)).then(expired)
    given(CREATED, STARTED).when(
        lambda batch: aggregate.finish(batch, told(7, 1, 2), now_ms=EXPIRES_MS - 1)
    ).then_refused(BatchUnfinishedError, "2 requests", field="not_asked")


@pytest.mark.parametrize("counts", [(7, 1, 2), (10, 0, 0), (0, 0, 10)])
def test_a_batch_that_is_cancelled_ends_so_whatever_was_asked(counts: tuple[int, int, int]) -> None:
    completed, failed, not_asked = counts
    cancelled = BatchCancelled(
        completed=completed, failed=failed, not_asked=not_asked, output=file(completed), errors=file(failed + not_asked)
    )

    given(CREATED, STARTED, CANCELLATION).when(
        lambda batch: aggregate.finish(batch, told(*counts), now_ms=BEGAN_MS)
    ).then(cancelled)


def test_a_batch_that_is_cancelled_before_its_requests_were_counted_ends_without_any() -> None:
    given(CREATED, CANCELLATION).when(lambda batch: aggregate.finish(batch, told(0, 0), now_ms=BEGAN_MS)).then(
        BatchCancelled(completed=0, failed=0, not_asked=0, output=None, errors=None)
    )


def test_a_batch_that_was_not_started_has_no_end() -> None:
    given(CREATED).when(lambda batch: aggregate.finish(batch, told(0, 0), now_ms=EXPIRES_MS)).then_refused(
        BatchNotStartedError
    )


@pytest.mark.parametrize(
    ("command", "field"),
    [
        (told(7, 2), "failed"),
        (told(7, 4), "failed"),
        (msgspec.structs.replace(told(7, 3), output=None), "output"),
        (msgspec.structs.replace(told(7, 3), errors=told(4, 0).output), "errors"),
        (msgspec.structs.replace(told(0, 10), output=told(1, 0).output), "output"),
    ],
)
def test_counts_that_do_not_add_up_are_refused(command: FinishBatch, field: str) -> None:
    given(CREATED, STARTED).when(lambda batch: aggregate.finish(batch, command, now_ms=EXPIRES_MS)).then_refused(
        BatchCountsError, field=field
    )


def test_nothing_is_asked_of_a_batch_that_ended() -> None:
    ended = BatchCompleted(completed=10, failed=0, output=file(10), errors=None)

    given(CREATED, STARTED, ended).when(lambda batch: aggregate.cancel(batch, CancelBatch(reason="late"))).then_refused(
        BatchFinishedError, "completed"
    )
    given(CREATED, STARTED, ended).when(
        lambda batch: aggregate.finish(batch, told(9, 1), now_ms=EXPIRES_MS)
    ).then_refused(BatchFinishedError)


def test_a_cancellation_asked_twice_is_asked_once() -> None:
    given(CREATED, STARTED, CANCELLATION).when(
        lambda batch: aggregate.cancel(batch, CancelBatch(reason="again"))
    ).then_nothing()


def test_the_row_tells_the_counts_and_when_it_ended() -> None:
    row = BATCHES.row(
        given(CREATED, STARTED, BatchCompleted(completed=10, failed=0, output=file(10), errors=None)).state
    )

    assert row is not None
    body = msgspec.json.decode(row.body)
    assert (row.phase, row.parent_id) == ("completed", "principal-1")
    assert (body["requests"], body["completed"], body["failed"], body["not_asked"]) == (10, 10, 0, 0)
    assert body["ended_at"] == rfc3339(BEGAN_MS + 3_000)
