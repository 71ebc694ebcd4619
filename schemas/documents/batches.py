"""The document of a batch, and what the batch server's own record has in common with it."""

from typing import Literal, TypeAlias

import msgspec

from schemas.events.batches import BatchEndpoint, BatchFile, BatchInput, BatchProblem

BatchPhase: TypeAlias = Literal[
    "validating", "in_progress", "cancelling", "completed", "failed", "cancelled", "expired"
]


class BatchBase(msgspec.Struct, frozen=True, kw_only=True):
    """Which batch it is, and what its requests may call: `scopes` are endpoints of Rollbook, `endpoint` is OpenAI's."""

    id: str
    workspace: str
    endpoint: BatchEndpoint
    scopes: tuple[str, ...]


class Batch(BatchBase, frozen=True, kw_only=True):
    """A batch as callers see it; `requests` is known once the input was found good, counts at the end."""

    phase: BatchPhase
    owner_id: str
    input: BatchInput
    requests: int | None
    completed: int | None
    failed: int | None
    not_asked: int | None
    output: BatchFile | None
    errors: BatchFile | None
    problems: tuple[BatchProblem, ...]
    cancelled_because: str | None
    created_at: str
    expires_at: str
    ended_at: str | None
