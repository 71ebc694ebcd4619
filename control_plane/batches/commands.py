"""Commands on batches, as their bodies arrive."""

from typing import Annotated

import msgspec

from schemas.events.batches import BatchEndpoint

Identifier = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
FileId = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
Sha256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
Scope = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Reason = Annotated[str, msgspec.Meta(min_length=1, max_length=1_000)]
Code = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
MAX_WINDOW_S = 7 * 24 * 3_600
MAX_TTL_S = 3_600


class InputBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file that was given."""

    file_id: FileId
    sha256: Sha256
    size_bytes: Count


class FileBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file that came of it."""

    file_id: FileId
    sha256: Sha256
    size_bytes: Count
    lines: Count


class ProblemBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is wrong with a line of the input; `line` counts from 1."""

    code: Code
    line: Annotated[int, msgspec.Meta(ge=1)] | None = None


class CreateBatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Begin a batch under an id that the sender chose, so that saying it twice makes one."""

    batch_id: Identifier
    owner_id: Identifier
    endpoint: BatchEndpoint
    input: InputBody
    scopes: Annotated[tuple[Scope, ...], msgspec.Meta(min_length=1, max_length=100)]
    window_s: Annotated[int, msgspec.Meta(ge=1, le=MAX_WINDOW_S)]


class StartBatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Say that the input is good, and how many requests it holds."""

    requests: Annotated[int, msgspec.Meta(ge=1, le=2**53)]


class FailBatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Say that the input cannot be run, and why."""

    problems: Annotated[tuple[ProblemBody, ...], msgspec.Meta(min_length=1, max_length=100)]


class CancelBatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Request the cancellation of a batch."""

    reason: Reason


class FinishBatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Say what came of all requests. Whether that is a completion, an expiry or a cancellation is decided on it."""

    completed: Count
    failed: Count
    not_asked: Count
    output: FileBody | None = None
    errors: FileBody | None = None


class MintBatchToken(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Ask for a token for the gateway in the name of the batch's owner."""

    ttl_s: Annotated[int, msgspec.Meta(ge=1, le=MAX_TTL_S)] = 900
