"""The types that OpenAI's clients read: files, batches, lists of them, errors, and the lines of a batch's files."""

from collections.abc import Sequence
from typing import Literal, TypeAlias

import msgspec

Status: TypeAlias = Literal[
    "validating", "failed", "in_progress", "finalizing", "completed", "expired", "cancelling", "cancelled"
]


class FileObject(msgspec.Struct, frozen=True, kw_only=True):
    """A file; `status` is for old clients."""

    id: str
    object: str = "file"
    size: int = msgspec.field(name="bytes")
    created_at: int
    expires_at: int | None
    filename: str
    purpose: str
    status: str = "processed"
    status_details: str | None = None


class Deleted(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to deleting a file."""

    id: str
    object: str = "file"
    deleted: bool = True


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong with a line of the input, counted from 1, or with the whole input."""

    code: str
    line: int | None
    message: str
    param: str | None = None


class Problems(msgspec.Struct, frozen=True, kw_only=True):
    """The first problems of an input."""

    object: str = "list"
    data: tuple[Problem, ...]


class RequestCounts(msgspec.Struct, frozen=True, kw_only=True):
    """How many requests there are, and how many have a line in the output and in the error file."""

    total: int = 0
    completed: int = 0
    failed: int = 0


class BatchObject(msgspec.Struct, frozen=True, kw_only=True):
    """A batch."""

    id: str
    object: str = "batch"
    endpoint: str
    errors: Problems | None
    input_file_id: str
    completion_window: str
    status: Status
    output_file_id: str | None
    error_file_id: str | None
    created_at: int
    in_progress_at: int | None
    expires_at: int
    finalizing_at: int | None
    completed_at: int | None
    failed_at: int | None
    expired_at: int | None
    cancelling_at: int | None
    cancelled_at: int | None
    request_counts: RequestCounts
    metadata: dict[str, str] | None


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """A page of a list."""

    object: str = "list"
    data: Sequence[FileObject] | Sequence[BatchObject]
    first_id: str | None
    last_id: str | None
    has_more: bool


class ErrorObject(msgspec.Struct, frozen=True, kw_only=True):
    """What went wrong."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """An answer that is an error."""

    error: ErrorObject


class LineResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The model's answer to one request; the request id is the prediction id."""

    status_code: int
    request_id: str
    body: msgspec.Raw


class LineError(msgspec.Struct, frozen=True, kw_only=True):
    """Why a request has no answer."""

    code: str
    message: str


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a batch's output or of its errors."""

    id: str
    custom_id: str
    response: LineResponse | None
    error: LineError | None


def page(found: Sequence[FileObject] | Sequence[BatchObject], *, has_more: bool) -> Page:
    """Make a page from a list."""
    ids = [one.id for one in found]
    return Page(data=found, first_id=ids[0] if ids else None, last_id=ids[-1] if ids else None, has_more=has_more)
