"""The client: one attribute for each kind of thing."""

from types import TracebackType
from typing import Any, Self

import msgspec

from rollbook import _wire
from rollbook._async.connection import AsyncConnection
from rollbook._async.endpoints import AsyncEndpoints
from rollbook._async.inference_tokens import AsyncInferenceTokens
from rollbook._async.registry import AsyncModels, AsyncVersions
from rollbook._async.rollouts import AsyncRollouts
from rollbook.resources import InferenceToken, RecordedEvent


class _Feed(msgspec.Struct, frozen=True):
    items: list[RecordedEvent]
    head: int
    read_until: int


class AsyncRollbook:
    """A control plane.

    Commands are safe to repeat: each carries an idempotency key. Errors are `rollbook.RollbookError`s.
    Use it as a context manager, or call `aclose`.
    """

    def __init__(self, url: str, *, token: str | None = None, timeout_s: float = _wire.DEFAULT_TIMEOUT_S) -> None:
        """Take the API's address and a bearer token; nothing is sent yet."""
        self._connection = AsyncConnection(url, token, timeout_s)
        self.models = AsyncModels(self._connection)
        self.versions = AsyncVersions(self._connection)
        self.endpoints = AsyncEndpoints(self._connection)
        self.rollouts = AsyncRollouts(self._connection)
        self.inference_tokens = AsyncInferenceTokens(self._connection)

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
    ) -> tuple[RecordedEvent, ...]:
        """Return the events after a position, in order: all until the log's end, or the first `limit` of them.

        With `wait_ms` it waits that long for the first one, where there is none yet.
        """
        found: list[RecordedEvent] = []
        wanted = {"stream": stream, "type": event_type}
        head: int | None = None
        while True:
            size = _wire.page_size(limit, so_far=len(found)) or _wire.LARGEST_PAGE
            page = await self._connection.get("/v1/events", _Feed, after=after, limit=size, wait_ms=wait_ms, **wanted)
            found += page.items
            # What comes while the pages are read is left to the next call, or a busy log would have no end.
            head = page.head if head is None else head
            after, wait_ms = page.read_until, 0
            if len(found) == limit or after >= head:
                return tuple(found)

    async def who_served(self, prediction_id: str) -> dict[str, Any]:
        """Return what served a prediction and the event that routed it, from the log and ClickHouse alone."""
        return await self._connection.get(f"/v1/predictions/{_wire.segment(prediction_id)}", dict[str, Any])

    async def who_served_each(self, prediction_ids: list[str]) -> dict[str, Any]:
        """Return what served up to 10,000 predictions: `items`, `unknown` ids, and the `events` that routed them."""
        body = {"prediction_ids": prediction_ids}
        return await self._connection.command("/v1/predictions/lookup", body, dict[str, Any])

    async def send_feedback(self, items: list[dict[str, Any]]) -> int:
        """Send labels, ratings or outcomes: `prediction_id`, `name`, `value`, optionally `source`, `observed_at`."""
        answer = await self._connection.command("/v1/feedback", {"items": items}, dict[str, Any])
        return int(answer["accepted"])

    async def query(self, sql: str, parameters: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run one read-only SQL query on ClickHouse; the answer is ClickHouse's JSONCompact."""
        return await self._connection.command("/v1/query", {"sql": sql, "parameters": parameters}, dict[str, Any])

    async def resources(
        self,
        *,
        since_ms: int | None = None,
        bucket_ms: int | None = None,
    ) -> dict[str, Any]:
        """Return what hosts and gateways use, by time bucket, with the view's watermark."""
        return await self._connection.get("/v1/resources", dict[str, Any], since_ms=since_ms, bucket_ms=bucket_ms)

    async def audit_checkpoint(self) -> dict[str, Any]:
        """Return the signed checkpoint over the whole log."""
        return await self._connection.get("/v1/audit/checkpoint", dict[str, Any])

    async def inference_token(self, endpoints: list[str], *, ttl_s: int = 3600) -> InferenceToken:
        """Mint a token for the gateway, for some endpoints or `*`; it lives at most an hour."""
        return await self.inference_tokens.mint(endpoints, ttl_s=ttl_s)

    async def readiness(self) -> dict[str, Any]:
        """Return the state of the control plane and of what it stands on."""
        return await self._connection.get("/readyz", dict[str, Any])
