"""What all batches share, and what they need from the control plane."""

import asyncio
from typing import Any, Protocol

import msgspec

from infra.clock import Clock
from schemas.events.batches import BatchFile, BatchProblem
from workers.batch_server.asking import Gateway
from workers.batch_server.book import BatchBook
from workers.batch_server.control_plane import BatchAnswer, TokenAnswer
from workers.batch_server.file_store import FileStore
from workers.batch_server.places import Places
from workers.batch_server.settings import BatchesSettings


class Plane(Protocol):
    """The control plane; every command may be repeated."""

    def within(self, workspace: str) -> "Plane": ...
    async def create(self, creation: dict[str, Any]) -> BatchAnswer: ...
    async def batch(self, batch_id: str) -> BatchAnswer: ...
    async def start(self, batch_id: str, *, requests: int) -> BatchAnswer: ...
    async def fail(self, batch_id: str, problems: tuple[BatchProblem, ...]) -> BatchAnswer: ...
    async def cancel(self, batch_id: str, *, reason: str) -> BatchAnswer: ...
    async def finish(
        self, batch_id: str, counts: dict[str, int], *, output: BatchFile | None, errors: BatchFile | None
    ) -> BatchAnswer: ...
    async def token(self, batch_id: str) -> TokenAnswer: ...
    async def has_endpoint(self, name: str) -> bool: ...
    async def erased_principals(self, *, after: int) -> tuple[frozenset[str], int]: ...


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """`places` limits the requests in progress, and `checking` the inputs being checked."""

    plane: Plane
    gateway: Gateway
    book: BatchBook
    files: FileStore
    clock: Clock
    settings: BatchesSettings
    places: Places
    checking: asyncio.Semaphore

    @property
    def now_s(self) -> int:
        """The time in whole Unix seconds."""
        return self.clock.now_ms() // 1_000

    @property
    def look_s(self) -> float:
        """The time between two looks at the log's record of a batch."""
        return self.settings.look_ms / 1_000
