"""A sink for the shipper's batches that keeps them and can read them back."""

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pyarrow as pa

from schemas.observations import BatchHeaders, batch_headers
from schemas.topics import REQUESTS
from serving.gateway.request_shipper import begin_source
from serving.gateway.shipping import DEAD_LETTERS, Headers
from tests.support.gateway import Gateway


class KeepingSink:
    """Keeps what it is sent; fails, before or after keeping, when it is told to."""

    def __init__(self) -> None:
        self.batches: list[tuple[BatchHeaders, list[dict[str, Any]]]] = []
        self.dead: list[bytes] = []
        self.fails_before = False
        self.fails_after = False

    async def send(self, topic: str, *, key: str, value: bytes, headers: Headers) -> None:
        assert key
        if self.fails_before:
            raise ConnectionError
        if topic == DEAD_LETTERS:
            self.dead.append(value)
            return
        assert topic == REQUESTS.name
        rows = pa.ipc.open_stream(io.BytesIO(value)).read_all().to_pylist()
        self.batches.append((batch_headers(headers), rows))
        if self.fails_after:
            raise ConnectionError

    @property
    def rows(self) -> dict[tuple[str, int, int], dict[str, Any]]:
        """Return every row once, by its identity."""
        return {
            (row["gateway_id"], row["file_number"], row["byte_offset"]): row for _, rows in self.batches for row in rows
        }

    def rows_that_came_late(self) -> list[dict[str, Any]]:
        """Return new rows of a later batch that ended before what an earlier batch called closed."""
        closed, seen, late = 0, set(), []
        for header, rows in self.batches:
            for row in rows:
                identity = (row["gateway_id"], row["file_number"], row["byte_offset"])
                if row["ended_at_ms"] < closed and identity not in seen:
                    late.append(row)
                seen.add(identity)
            closed = max(closed, header.closed_until_ms)
        return late


@asynccontextmanager
async def shipping(gateway: Gateway, sink: KeepingSink) -> AsyncIterator[None]:
    """Ship the records of a gateway until the block is left."""
    shipper = await begin_source(gateway.folder, sink, region="local")

    async def ship() -> None:
        while True:
            await shipper.ship_next()
            await asyncio.sleep(0.02)

    task = asyncio.create_task(ship())
    try:
        yield
    finally:
        task.cancel()
