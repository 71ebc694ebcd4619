"""Runs one statement on a chDB connection: inserts, small results whole, and large ones as a stream."""

import json
from collections.abc import Callable, Iterable
from functools import partial
from typing import Protocol

import chdb
import msgspec
from chdb.state.sqlitelike import Connection, StreamingResult

from infra.clickhouse.http_errors import from_engine
from infra.clickhouse.http_requests import QueryRequest
from infra.clickhouse.statements import STREAMABLE, Statement

# Formats whose chunks can be joined; the others have a head or a foot.
_JOINABLE = frozenset({"native", "rowbinary", "tabseparated", "tsv", "csv", "jsoneachrow", "tabseparatedraw", "tsvraw"})
_DEFAULT_FORMAT = "TabSeparated"


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """The counts of X-ClickHouse-Summary."""

    read_rows: int = 0
    read_bytes: int = 0
    written_rows: int = 0
    written_bytes: int = 0
    elapsed_ns: int = 0

    def header(self) -> bytes:
        return json.dumps({name: str(value) for name, value in msgspec.structs.asdict(self).items()}).encode()


class Stream(Protocol):
    """The rest of a large result; both calls block and belong to one thread at a time."""

    def fetch(self) -> bytes | None: ...

    def close(self) -> None: ...


class _Counted(Protocol):
    """What chDB returns for a query or one chunk of it."""

    def bytes(self) -> bytes: ...

    def storage_rows_read(self) -> int: ...

    def storage_bytes_read(self) -> int: ...

    def elapsed(self) -> float: ...


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a query; ``rest`` is there when the body is only its beginning."""

    body: bytes
    output_format: str
    summary: Summary = Summary()
    rest: Stream | None = None


def run(
    connection: Connection, statement: Statement, request: QueryRequest, let_go: Callable[[Connection], None]
) -> Answer:
    """Return the answer; while it has a rest, the connection is open, and `let_go` is called with it in the end."""
    if statement.insert_head is not None:
        return _insert(connection, statement.insert_head, statement.output_format or "Values", statement.insert_data)
    output_format = statement.output_format or request.default_format or _DEFAULT_FORMAT
    sql = request.sql.decode()
    joinable = output_format.lower() in _JOINABLE and statement.first_word in STREAMABLE
    if joinable and not request.is_buffered:
        return _stream(connection, sql, output_format, request.parameters, let_go)
    result = connection.query(sql, output_format, params=request.parameters)
    return Answer(body=result.bytes(), output_format=output_format, summary=_summary(result))


def _insert(connection: Connection, head: bytes, data_format: str, data: bytes) -> Answer:
    inserter = connection.send_insert(head.decode(), data_format)
    try:
        inserter.append(data)  # type: ignore[no-untyped-call]
        result = inserter.finish()
    except BaseException:
        inserter.cancel()  # type: ignore[no-untyped-call]
        raise
    summary = Summary(
        written_rows=result.rows_written,
        written_bytes=result.bytes_written,
        elapsed_ns=round(result.elapsed * 1e9),
    )
    return Answer(body=b"", output_format=data_format, summary=summary)


def _stream(
    connection: Connection,
    sql: str,
    output_format: str,
    parameters: dict[str, str],
    let_go: Callable[[Connection], None],
) -> Answer:
    result = connection.send_query(sql, output_format, params=parameters)
    chunks, summary = [], Summary()
    # Two chunks show whether a result is small: then it can go out whole, with its length.
    for chunk in _first_two(result):
        chunks.append(chunk.bytes())
        summary = _summary(chunk)
    rest = _Rest(result, partial(let_go, connection)) if len(chunks) > 1 else None
    return Answer(body=b"".join(chunks), output_format=output_format, summary=summary, rest=rest)


def _first_two(result: StreamingResult) -> Iterable[_Counted]:
    for _ in range(2):
        chunk = result.fetch()  # type: ignore[no-untyped-call]
        if chunk is None:
            return
        yield chunk


class _Rest:
    def __init__(self, result: StreamingResult, let_go: Callable[[], None]) -> None:
        self._result, self._let_go = result, let_go

    def fetch(self) -> bytes | None:
        try:
            chunk = self._result.fetch()  # type: ignore[no-untyped-call]
        except (chdb.ChdbError, RuntimeError) as error:
            raise from_engine(error) from error
        return None if chunk is None else bytes(chunk.bytes())

    def close(self) -> None:
        try:
            self._result.cancel()  # type: ignore[no-untyped-call]
        finally:
            self._let_go()


def _summary(result: _Counted) -> Summary:
    return Summary(
        read_rows=result.storage_rows_read(),
        read_bytes=result.storage_bytes_read(),
        elapsed_ns=round(result.elapsed() * 1e9),
    )
