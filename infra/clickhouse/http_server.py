"""The ClickHouse HTTP interface as an ASGI application over an engine.

A bounded number of queries runs at once, each in a thread of its own; a query that
finds no free place within a bounded time is answered with 503 and may be tried again.
"""

import asyncio
import gzip
import hmac
import secrets
import sys
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import lz4.frame  # type: ignore[import-untyped]
import msgspec
import structlog

from infra.clickhouse.engine import Engine
from infra.clickhouse.http_errors import ClickHouseError, code_of
from infra.clickhouse.http_requests import QueryRequest, credentials, read_request
from infra.clickhouse.row_policies import is_row_policy
from infra.clickhouse.running import Answer, Stream

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

_COMPRESS_FROM_BYTES = 4096
_ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "lz4": lz4.frame.compress,
    "zstd": zstd.compress,
    "gzip": lambda body: gzip.compress(body, compresslevel=3),
    "deflate": lambda body: zlib.compress(body, 3),
}
_CONTENT_TYPES = {"json": b"application/json; charset=UTF-8", "csv": b"text/csv; charset=UTF-8"}
_TEXT = b"text/plain; charset=UTF-8"
_BINARY_FORMATS = ("native", "rowbinary", "arrow", "parquet", "orc", "avro")

_log = structlog.get_logger(__name__)


class HttpLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How much the server takes on."""

    parallel_queries: int
    wait_seconds: float
    body_bytes: int


class ClickHouseApp:
    """Answers ``/`` and ``/ping`` as a ClickHouse server does."""

    def __init__(self, engine: Engine, limits: HttpLimits, *, user: str, password: str) -> None:
        self._engine = engine
        self._limits = limits
        self._expected = (user.encode(), password.encode())
        self._places = asyncio.Semaphore(limits.parallel_queries)
        self._creating_policies = asyncio.Lock()
        self._threads = ThreadPoolExecutor(limits.parallel_queries, thread_name_prefix="query")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if scope["path"] in ("/ping", "/replicas_status"):
            await _respond(send, 200, [(b"content-type", _TEXT)], b"Ok.\n")
            return
        try:
            await self._query(scope, receive, send)
        except ClickHouseError as error:
            await _respond(send, error.status, _error_headers(error), error.text.encode() + b"\n")

    def close(self) -> None:
        """Wait for the queries that run."""
        self._threads.shutdown(wait=True)

    async def _query(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        self._authenticate(scope["query_string"], headers)
        if scope["path"] not in ("/", "/query"):
            await _respond(send, 404, [(b"content-type", _TEXT)], b"There is no such path; use / or /ping.\n")
            return
        body = await _body(receive, self._limits.body_bytes)
        request = read_request(scope["method"], scope["query_string"], headers, body, max_bytes=self._limits.body_bytes)
        if not request.sql and scope["method"] == "GET":
            await _respond(send, 200, [(b"content-type", _TEXT)], b"Ok.\n")
            return
        if is_row_policy(request.sql):
            await self._create_policies(request)
            await _respond(send, 200, self._headers(request, Answer(body=b"", output_format="TabSeparated")), b"")
            return
        async with self._taken(1):
            await self._answer(request, send)

    async def _create_policies(self, request: QueryRequest) -> None:
        """Change the row policies once nothing else runs; queries that come meanwhile wait for their places."""
        loop = asyncio.get_running_loop()
        # Two that took places from each other would both wait in vain.
        async with self._creating_policies:
            async with self._taken(1):
                changed = await loop.run_in_executor(self._threads, self._engine.changed_policies, request)
            if changed is not None:
                # It gives up before those do that wait behind it.
                seconds = self._limits.wait_seconds / 2
                async with self._taken(self._limits.parallel_queries, within_s=seconds):
                    await asyncio.shield(loop.run_in_executor(self._threads, self._engine.adopt, changed))

    @asynccontextmanager
    async def _taken(self, places: int, *, within_s: float | None = None) -> AsyncIterator[None]:
        taken = 0
        try:
            try:
                async with asyncio.timeout(within_s or self._limits.wait_seconds):
                    while taken < places:
                        await self._places.acquire()
                        taken += 1
            except TimeoutError as error:
                raise ClickHouseError(
                    code_of("TOO_MANY_SIMULTANEOUS_QUERIES"),
                    f"Too many simultaneous queries. Maximum: {self._limits.parallel_queries}",
                ) from error
            yield
        finally:
            for _ in range(taken):
                self._places.release()

    async def _answer(self, request: QueryRequest, send: Send) -> None:
        loop = asyncio.get_running_loop()
        # A query that runs is let run when its caller goes: its thread cannot be taken back.
        answer = await asyncio.shield(loop.run_in_executor(self._threads, self._engine.execute, request))
        headers = self._headers(request, answer)
        if answer.rest is None:
            encoding = _encoding(request, len(answer.body))
            body = await loop.run_in_executor(None, _ENCODERS[encoding], answer.body) if encoding else answer.body
            headers += [(b"content-encoding", encoding.encode())] if encoding else []
            await _respond(send, 200, headers, body)
            return
        try:
            await self._send_stream(send, headers, answer.body, answer.rest)
        finally:
            await asyncio.shield(loop.run_in_executor(self._threads, answer.rest.close))

    async def _send_stream(self, send: Send, headers: Headers, first: bytes, rest: Stream) -> None:
        tag = secrets.token_hex(8)
        headers.append((b"x-clickhouse-exception-tag", tag.encode()))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        loop = asyncio.get_running_loop()
        chunk: bytes | None = first
        try:
            while chunk is not None:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
                chunk = await asyncio.shield(loop.run_in_executor(self._threads, rest.fetch))
        except ClickHouseError as error:
            # The status is out already; ClickHouse's clients look for this block at the end.
            message = error.text.encode() + b"\n"
            mark = b"\r\n__exception__\r\n"
            tail = mark + tag.encode() + b"\r\n" + message + f"{len(message)} {tag}".encode() + mark
            await send({"type": "http.response.body", "body": tail, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    def _authenticate(self, query_string: bytes, headers: dict[str, str]) -> None:
        given = credentials(query_string, headers)
        if given is None and not self._expected[1]:
            return
        user, password = given or ("", "")
        fits = [
            hmac.compare_digest(text.encode(), expected)
            for text, expected in zip((user, password), self._expected, strict=True)
        ]
        if not all(fits):
            raise ClickHouseError(
                code_of("AUTHENTICATION_FAILED"),
                f"{user or 'default'}: Authentication failed: password is incorrect, or there is no such user",
            )

    def _headers(self, request: QueryRequest, answer: Answer) -> Headers:
        return [
            (b"content-type", _content_type(answer.output_format)),
            (b"x-clickhouse-server-display-name", b"rollbook"),
            (b"x-clickhouse-query-id", request.query_id.encode("latin-1", "replace")),
            (b"x-clickhouse-format", answer.output_format.encode()),
            (b"x-clickhouse-timezone", self._engine.timezone.encode()),
            (b"x-clickhouse-summary", answer.summary.header()),
        ]


def _encoding(request: QueryRequest, size: int) -> str | None:
    if size < _COMPRESS_FROM_BYTES:
        return None
    return next((name for name in request.accepted_encodings if name in _ENCODERS), None)


def _content_type(output_format: str) -> bytes:
    lowered = output_format.lower()
    if lowered.startswith(_BINARY_FORMATS):
        return b"application/octet-stream"
    return next((kind for prefix, kind in _CONTENT_TYPES.items() if lowered.startswith(prefix)), _TEXT)


def _error_headers(error: ClickHouseError) -> Headers:
    headers = [(b"content-type", _TEXT), (b"x-clickhouse-exception-code", str(error.code).encode())]
    if error.code == code_of("TOO_MANY_SIMULTANEOUS_QUERIES"):
        headers.append((b"retry-after", b"1"))
    return headers


async def _body(receive: Receive, max_bytes: int) -> bytes:
    chunks, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClickHouseError(code_of("BAD_ARGUMENTS"), "The client went away")
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > max_bytes:
            raise ClickHouseError(code_of("QUERY_IS_TOO_LARGE"), f"The body is larger than {max_bytes} bytes")
        more = message.get("more_body", False)
    return b"".join(chunks)


async def _respond(send: Send, status: int, headers: Headers, body: bytes) -> None:
    start = {"type": "http.response.start", "status": status}
    await send({**start, "headers": [*headers, (b"content-length", str(len(body)).encode())]})
    await send({"type": "http.response.body", "body": body})
