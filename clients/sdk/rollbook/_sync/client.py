# Generated from ../_async/client.py by clients/sdk/generate.py; edit that one.
"""The client: one attribute for each kind of thing."""

from types import TracebackType
from typing import Any, Self

from rollbook import _wire
from rollbook._sync import operations
from rollbook._sync.connection import Connection
from rollbook._sync.endpoints import Endpoints
from rollbook._sync.versions import Versions
from rollbook.resources import LogEntry


class Rollbook:
    """A control plane.

    Commands are safe to repeat: each carries an idempotency key. Errors are `rollbook.RollbookError`s.
    Use it as a context manager, or call `close`.
    """

    def __init__(self, url: str, *, token: str | None = None, timeout_s: float = _wire.DEFAULT_TIMEOUT_S) -> None:
        """Take the API's address and a bearer token; nothing is sent yet."""
        self._connection = Connection(url, token, timeout_s)
        self.models = operations.Models(self._connection)
        self.versions = Versions(self._connection)
        self.endpoints = Endpoints(self._connection)
        self.artifacts = operations.Artifacts(self._connection)
        self.rollouts = operations.Rollouts(self._connection)
        self.predictions = operations.Predictions(self._connection)
        self.feedback = operations.Feedback(self._connection)
        self.batches = operations.Batches(self._connection)
        self.principals = operations.Principals(self._connection)
        self.inference_tokens = operations.InferenceTokens(self._connection)
        self.log = operations.Log(self._connection)
        self.views = operations.Views(self._connection)
        self.health = operations.Health(self._connection)

    def __enter__(self) -> Self:
        """Return the client."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connections."""
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._connection.close()

    def events(
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
            page = self.log.read(after=after, limit=size, stream=stream, type_=event_type, wait_ms=wait_ms)
            found += page.items
            # What comes while the pages are read is left to the next call, or a busy log would have no end.
            head = page.head if head is None else head
            after, wait_ms = page.read_until, 0
            if len(found) == limit or after >= head:
                return tuple(found)

    def query(self, sql: str, parameters: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run one read-only SQL query on ClickHouse; the answer is ClickHouse's JSONCompact."""
        body = _wire.body({"sql": sql}, parameters=parameters)
        return self._connection.command("POST", "/v1/query", body, dict[str, Any])
