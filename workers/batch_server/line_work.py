"""Sends the requests of one batch that are not done, as many at a time as there are places."""

import asyncio
from collections.abc import AsyncIterator, Iterator

from workers.batch_server import input_lines
from workers.batch_server.asking import Bearer
from workers.batch_server.book import BatchRecord
from workers.batch_server.input_lines import Request
from workers.batch_server.parts import Parts
from workers.batch_server.places import Place, Share
from workers.batch_server.results import Results, answered, unanswered
from workers.batch_server.stop import Stop
from workers.batch_server.wire import LineError, LineResponse

EXPIRED, CANCELLED = "expired", "cancelled"
NOT_ASKED = {
    EXPIRED: LineError(code="batch_expired", message="the request was not sent before the completion window ended"),
    CANCELLED: LineError(code="batch_cancelled", message="the batch was cancelled before the request was sent"),
}
"""The line for a request that was not sent, by the reason for stopping."""
_READ_AT_ONCE = 32
_READ_BYTES = 1024 * 1024
_GRACE_S = 5.0
_POLL_S = 0.2


class LineWork:
    """One round of requests: to the end of the input, or until it is stopped."""

    def __init__(self, record: BatchRecord, parts: Parts, *, stop: Stop) -> None:
        self._record = record
        self._parts = parts
        self._stop = stop
        self._bearer = Bearer(parts.plane.within(record.workspace), record.id)
        self._under_way: set[asyncio.Task[None]] = set()
        self.results = Results(parts.book.folder(record.id), requests=record.requests)

    async def run(self) -> None:
        """Send what is left.

        If it was stopped for a reason that ends the batch, each remaining request gets a line too.

        Raises:
            OSError: the files cannot be opened or read.
        """
        await asyncio.to_thread(self.results.open)
        writer = asyncio.create_task(self.results.write_forever())
        asking = asyncio.create_task(self._ask_with_others())
        try:
            await asyncio.wait((asking, writer), return_when=asyncio.FIRST_COMPLETED)
            for task in (asking, writer):
                if task.done():
                    task.result()
        finally:
            for task in (asking, writer):
                task.cancel()
            await asyncio.gather(asking, writer, return_exceptions=True)
            self.results.close()

    async def _ask_with_others(self) -> None:
        with self._parts.places.share() as share:
            await self._ask_all(share)
        await self.results.written()
        why = NOT_ASKED.get(self._stop.reason)
        if why is not None:
            async for request in self._unfinished():
                await self.results.put(unanswered(self._record.id, request.number, request.custom_id, error=why))
            await self.results.written()

    async def _ask_all(self, share: Share) -> None:
        try:
            async for request in self._unfinished():
                place = await share.place(self._stop)
                if place is None:
                    break
                self._begin(request, place)
            await self._wait_for_pending()
        finally:
            for task in self._under_way:
                task.cancel()
            await asyncio.gather(*self._under_way, return_exceptions=True)

    def _begin(self, request: Request, place: Place) -> None:
        task = asyncio.create_task(self._ask(request, place))
        self._under_way.add(task)
        task.add_done_callback(lambda ended: self._ended(ended, place))

    def _ended(self, task: "asyncio.Task[None]", place: Place) -> None:
        place.leave()
        # A failed task stays, so that whoever waits for it gets its error.
        if task.cancelled() or task.exception() is None:
            self._under_way.discard(task)

    async def _ask(self, request: Request, place: Place) -> None:
        record = self._record
        answer = await self._parts.gateway.ask(
            record.endpoint, bytes(request.body), bearer=self._bearer, stop=self._stop, place=place
        )
        match answer:
            case LineResponse():
                await self.results.put(answered(record.id, request.number, request.custom_id, response=answer))
            case LineError():
                await self.results.put(unanswered(record.id, request.number, request.custom_id, error=answer))
            case None:
                pass

    async def _wait_for_pending(self) -> None:
        """Wait for all tasks; once nothing more is to be sent, only for a while."""
        while self._under_way:
            if self._stop.at is not None and self._parts.clock.monotonic() - self._stop.at > _GRACE_S:
                return
            done, _ = await asyncio.wait(self._under_way, timeout=_POLL_S)
            for task in done:
                if not task.cancelled():
                    task.result()

    async def _unfinished(self) -> AsyncIterator[Request]:
        found = input_lines.unfinished(
            self._parts.book.input(self._record.id),
            is_done=self.results.is_done,
            max_line_bytes=self._parts.settings.max_line_bytes,
        )
        while some := await asyncio.to_thread(_next_of, found):
            for request in some:
                yield request


def _next_of(found: Iterator[Request]) -> list[Request]:
    """Read some requests; the longer they are, the fewer."""
    some: list[Request] = []
    size = 0
    for request in found:
        some.append(request)
        size += len(bytes(request.body))
        if len(some) == _READ_AT_ONCE or size > _READ_BYTES:
            break
    return some
