"""The client: one attribute for each kind of thing."""

from types import TracebackType
from typing import Any, Self

from rollbook import _wire
from rollbook._async import operations
from rollbook._async.connection import AsyncConnection
from rollbook._async.endpoints import AsyncEndpoints
from rollbook._async.versions import AsyncVersions
from rollbook.resources import LogEntry


class AsyncRollbook:
    """A control plane.

    Commands are safe to repeat: each carries an idempotency key. Errors are `rollbook.RollbookError`s.
    Use it as a context manager, or call `aclose`.
    """

    def __init__(self, url: str, *, token: str | None = None, timeout_s: float = _wire.DEFAULT_TIMEOUT_S) -> None:
        """Take the API's address and a bearer token; nothing is sent yet."""
        self._connection = AsyncConnection(url, token, timeout_s)
        self.models = operations.AsyncModels(self._connection)
        self.versions = AsyncVersions(self._connection)
        self.endpoints = AsyncEndpoints(self._connection)
        self.artifacts = operations.AsyncArtifacts(self._connection)
        self.rollouts = operations.AsyncRollouts(self._connection)
        self.predictions = operations.AsyncPredictions(self._connection)
        self.feedback = operations.AsyncFeedback(self._connection)
        self.batches = operations.AsyncBatches(self._connection)
        self.principals = operations.AsyncPrincipals(self._connection)
        self.inference_tokens = operations.AsyncInferenceTokens(self._connection)
        self.log = operations.AsyncLog(self._connection)
        self.views = operations.AsyncViews(self._connection)
        self.health = operations.AsyncHealth(self._connection)

    async def __aenter__(self) -> Self:
        """Return the client."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connections."""
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._connection.aclose()

    async def events(
        self,
        *,
        after: int = 0,
        limit: int | None = None,
        stream: str | None = None,
        event_type: str | None = None,
        wait_ms: int = 0,
    ) -> tuple[LogEntry, ...]:
        """Return the events after a position, in order: all until the log's end, or the first `limit` of them.

        With `wait_ms` it waits that long for the first one, where there is none yet.
        """
        found: list[LogEntry] = []
        head: int | None = None
        while True:
            size = _wire.page_size(limit, so_far=len(found)) or _wire.MAX_PAGE_ITEMS
            page = await self.log.read(after=after, limit=size, stream=stream, type_=event_type, wait_ms=wait_ms)
            found += page.items
            # What comes while the pages are read is left to the next call, or a busy log would have no end.
            head = page.head if head is None else head
            after, wait_ms = page.read_until, 0
            if len(found) == limit or after >= head:
                return tuple(found)

    async def query(self, sql: str, parameters: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run one read-only SQL query on ClickHouse; the answer is ClickHouse's JSONCompact."""
        body = _wire.body({"sql": sql}, parameters=parameters)
        return await self._connection.command("POST", "/v1/query", body, dict[str, Any])
