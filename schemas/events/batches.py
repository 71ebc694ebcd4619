"""Facts about batches: files of requests that are asked one by one, for whom, and what came of them."""

from typing import Literal, TypeAlias

import msgspec

BatchEndpoint: TypeAlias = Literal["/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses"]


class BatchInput(msgspec.Struct, frozen=True, kw_only=True):
    """The file that was given; `sha256` is its hex digest."""

    file_id: str
    sha256: str
    size_bytes: int


class BatchFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that came of a batch, with a line for each request in it."""

    file_id: str
    sha256: str
    size_bytes: int
    lines: int


class BatchProblem(msgspec.Struct, frozen=True, kw_only=True):
    """Why a file cannot be run: a code, and the line that it is about, counted from 1. The line itself is left out."""

    code: str
    line: int | None


class BatchCreated(msgspec.Struct, frozen=True, kw_only=True):
    """Someone created a batch from a file of requests for one of the gateway's OpenAI endpoints.

    `owner_id` is whose inference token it was, and `scopes` the endpoints of Rollbook that this token may call.
    """

    owner_id: str
    endpoint: BatchEndpoint
    input: BatchInput
    scopes: tuple[str, ...]
    expires_at: str


class BatchStarted(msgspec.Struct, frozen=True, kw_only=True):
    """Every line of the file is a valid request, and they are sent from now on."""

    requests: int


class BatchFailed(msgspec.Struct, frozen=True, kw_only=True):
    """The file is not a list of valid requests, so none was sent. This is the first of its problems."""

    problems: tuple[BatchProblem, ...]


class BatchCancellationRequested(msgspec.Struct, frozen=True, kw_only=True):
    """Someone cancelled the batch, and no further request of it is sent."""

    reason: str


class BatchCompleted(msgspec.Struct, frozen=True, kw_only=True):
    """Every request was sent, and each has a line in the output file or the error file."""

    completed: int
    failed: int
    output: BatchFile | None
    errors: BatchFile | None


class BatchCancelled(msgspec.Struct, frozen=True, kw_only=True):
    """The batch ended because it was cancelled. Requests that were not sent have lines in the error file."""

    completed: int
    failed: int
    not_asked: int
    output: BatchFile | None
    errors: BatchFile | None


class BatchExpired(msgspec.Struct, frozen=True, kw_only=True):
    """The batch ended because its time was up. Requests that were not sent have lines in the error file."""

    completed: int
    failed: int
    not_asked: int
    output: BatchFile | None
    errors: BatchFile | None


EVENTS: dict[str, type[msgspec.Struct]] = {
    "batches.BatchCancellationRequested.v1": BatchCancellationRequested,
    "batches.BatchCancelled.v1": BatchCancelled,
    "batches.BatchCompleted.v1": BatchCompleted,
    "batches.BatchCreated.v1": BatchCreated,
    "batches.BatchExpired.v1": BatchExpired,
    "batches.BatchFailed.v1": BatchFailed,
    "batches.BatchStarted.v1": BatchStarted,
}
