"""One HTTP connection pool to a control plane, and how a call goes through it."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import anyio
import httpx

from rollbook import _sendable, _wire
from rollbook.errors import RollbookError, Unreachable

T = TypeVar("T")


class AsyncConnection:
    """Sends calls, reads answers, turns refusals into exceptions."""

    def __init__(self, url: str, token: str | None, timeout_s: float, *, workspace: str | None = None) -> None:
        """Prepare the pool; nothing is sent yet."""
        self._url = url
        self._http = httpx.AsyncClient(
            base_url=_sendable.url(url),
            headers=_wire.headers_for(token, workspace),
            timeout=timeout_s,
            verify=_wire.authorities_for(url),
            # What is on this machine is asked directly, whatever proxy leads outside.
            trust_env=not _wire.is_on_this_machine(url),
        )

    async def aclose(self) -> None:
        """Close the pool."""
        await self._http.aclose()

    async def get(self, path: str, result: type[T], **parameters: object) -> T:
        """Ask a question; parameters that are None are left out."""
        query = _sendable.query(_wire.without_none(parameters))
        return _wire.read_answer(await self._send("GET", path, params=query), result)

    async def list_all(
        self,
        path: str,
        page: type[_wire.Page[T]],
        *,
        limit: int | None,
        **parameters: object,
    ) -> list[T]:
        """Return every item of a list, page by page, or the first `limit` of them."""
        items: list[T] = []
        cursor: str | None = None
        while True:
            size = _wire.page_size(limit, so_far=len(items))
            found = await self.get(path, page, **parameters, cursor=cursor, limit=size)
            items += found.items
            cursor = found.next
            if cursor is None or len(items) == limit:
                return items

    async def command(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any],
        result: type[T],
        *,
        idempotency_key: str | None = None,
        if_match: int | None = None,
    ) -> T:
        """Send a command."""
        headers = _wire.command_headers(idempotency_key, if_match)
        answer = await self._send(method, path, content=_sendable.json_body(body), headers=headers)
        return _wire.read_answer(answer, result)

    async def ask(self, method: str, path: str, *, content: bytes | None, headers: Mapping[str, str]) -> httpx.Response:
        """Send a request as it is, and return an answer of success.

        Raises:
            Problem: the server refused.
        """
        return _wire.require_success(await self._send(method, path, content=content, headers=headers))

    async def upload(self, path: str, content: Path | bytes, result: type[T]) -> T:
        """Send a file, or bytes, as they are."""
        return _wire.read_answer(await self._send("PUT", path, body=content), result)

    async def download(self, path: str, to: Path) -> None:
        """Write what is answered to a file, whole or not at all."""
        part = to.with_name(f".{to.name}.part")
        try:
            async with self._http.stream("GET", path) as answer:
                if answer.is_error:
                    await answer.aread()
                    _wire.require_success(answer)
                async with await anyio.open_file(part, "wb") as file:
                    async for chunk in answer.aiter_bytes():
                        await file.write(chunk)
            _wire.move(part, to)
        except httpx.TransportError as error:
            raise self._unreachable(error) from error
        finally:
            _wire.remove(part)

    async def _send(self, method: str, path: str, **request: Any) -> httpx.Response:  # noqa: ANN401  httpx's own arguments
        attempt = 0
        while True:
            attempt += 1
            try:
                answer = await self._try(method, path, **request)
            except httpx.InvalidURL as error:
                message = f"A name is too long to ask for: {error}"
                raise RollbookError(message) from error
            except httpx.TransportError as error:
                pause_s = _wire.pause_before_retry_s(attempt)
                if pause_s is None or isinstance(error, httpx.TimeoutException):
                    raise self._unreachable(error) from error
            else:
                pause_s = _wire.pause_before_retry_s(attempt, answer)
                if pause_s is None:
                    return answer
            await _wire.async_sleep(pause_s)

    async def _try(
        self,
        method: str,
        path: str,
        *,
        body: Path | bytes | None = None,
        **request: Any,  # noqa: ANN401
    ) -> httpx.Response:
        if body is not None:
            request["content"] = _chunks(body) if isinstance(body, Path) else body
        return await self._http.request(method, path, **request)

    def _unreachable(self, error: httpx.TransportError) -> Unreachable:
        return Unreachable(f"No answer from {self._url} ({type(error).__name__}). Is it up, and is that its address?")


async def _chunks(path: Path) -> AsyncIterator[bytes]:
    async with await anyio.open_file(path, "rb") as file:
        while chunk := await file.read(1 << 20):
            yield chunk
