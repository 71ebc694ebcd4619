"""chDB behind a door: each query has a session of its own, and limits.

A chDB connection runs one query at a time and keeps what a query sets, so a query gets
a fresh one (0.3 ms) and nothing leaks from one caller to the next.
"""

import json
import math
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol
from urllib.parse import urlencode

import chdb
import msgspec
from chdb.state.sqlitelike import Connection, StreamingResult

from infra.clickhouse.http_errors import ClickHouseError, code_of, from_engine
from infra.clickhouse.http_requests import QueryRequest
from infra.clickhouse.statements import STREAMABLE, Statement, read_statement

# Formats whose chunks can be joined; the others have a head or a foot.
_JOINABLE = frozenset({"native", "rowbinary", "tabseparated", "tsv", "csv", "jsoneachrow", "tabseparatedraw", "tsvraw"})
# Functions that make tables out of nothing but their arguments. All others read files or the network.
_HARMLESS = frozenset(
    {"numbers", "numbers_mt", "zeros", "zeros_mt", "primes", "generateseries", "generate_series", "generaterandom"}
    | {"values", "view", "merge", "null", "input", "format", "loop", "dictionary"}
)
_ALWAYS_REFUSED = frozenset({"file", "python", "http", "\\"})
LIMITED = ("max_execution_time", "max_memory_usage", "max_result_bytes")
_DEFAULTS: dict[str, str] = {
    # An insert is acknowledged when it is stored, not when it waits in a buffer.
    "async_insert": "0",
    # Threads for the text of an answer cost more than the text of a small one, and nearly all are small.
    "output_format_parallel_formatting": "0",
}
# The connection's address decodes a value before it splits the address, so other characters are not allowed.
_PLAIN_VALUE = re.compile(r"[\w.-]+", re.ASCII)
_DEFAULT_FORMAT = "TabSeparated"


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The most that one query may take; a query can ask for less."""

    execution_seconds: int
    memory_bytes: int
    result_bytes: int

    def settings(self, asked: dict[str, str]) -> dict[str, str]:
        ceilings = zip(LIMITED, (self.execution_seconds, self.memory_bytes, self.result_bytes), strict=True)
        return {name: str(_lower(asked.get(name), ceiling)) for name, ceiling in ceilings}


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


class Engine:
    """One chDB on one folder. ``execute`` blocks and may be called from many threads."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self._folder = str(folder)
        self._limits = limits
        _drop_definition_of_empty_database(folder)
        self._keeper = chdb.connect(self._folder)
        _make_default_database_plain(self._keeper)
        names = self._keeper.query("SELECT lower(name) FROM system.table_functions", "TabSeparated").bytes()
        self._refused = (frozenset(names.decode().split()) - _HARMLESS) | _ALWAYS_REFUSED
        known = self._keeper.query("SELECT name FROM system.settings", "TabSeparated").bytes()
        self._settings = frozenset(known.decode().split())
        self.timezone = self._keeper.query("SELECT timezone()", "TabSeparatedRaw").bytes().decode().strip()

    def execute(self, request: QueryRequest) -> Answer:
        """Run one query; raises ClickHouseError with the engine's own code and text."""
        statement = read_statement(request.sql)
        self._check(statement, request)
        connection = self._connect(request)
        keep = False
        try:
            self._prepare(connection, request)
            answer = _run(connection, statement, request)
            keep = answer.rest is not None
            return answer
        except (chdb.ChdbError, RuntimeError) as error:
            raise from_engine(error) from error
        finally:
            if not keep:
                connection.close()

    def close(self) -> None:
        """Let go of the folder; what was acknowledged is on it already."""
        self._keeper.close()

    def _connect(self, request: QueryRequest) -> Connection:
        # Settings in the address cost nothing; a SET costs as much as a small query.
        plain = {name: value for name, value in request.settings.items() if self._is_plain(name, value)}
        settings = {**_DEFAULTS, **plain, **self._limits.settings(request.settings)}
        try:
            return chdb.connect(f"{self._folder}?{urlencode(settings)}")
        except RuntimeError as error:
            raise from_engine(error) from error

    def _is_plain(self, name: str, value: str) -> bool:
        return name in self._settings and name != "readonly" and _PLAIN_VALUE.fullmatch(value) is not None

    def _prepare(self, connection: Connection, request: QueryRequest) -> None:
        if request.database and request.database != "default":
            connection.query(f"USE {_quoted(request.database, '`')}")
        # Read-only comes last, as it forbids to set anything after it.
        wanted = {
            name: value
            for name, value in request.settings.items()
            if name not in (*LIMITED, "readonly") and not self._is_plain(name, value)
        }
        if wanted:
            connection.query(
                "SET " + ", ".join(f"{name} = {_quoted(value, chr(39))}" for name, value in wanted.items())
            )
        if request.readonly:
            connection.query(f"SET readonly = {request.readonly}")

    def _check(self, statement: Statement, request: QueryRequest) -> None:
        if not statement.first_word:
            raise ClickHouseError(code_of("SYNTAX_ERROR"), "Empty query")
        if statement.is_several:
            raise ClickHouseError(code_of("SYNTAX_ERROR"), "Multi-statements are not allowed")
        if request.readonly and not statement.only_reads:
            raise ClickHouseError(code_of("READONLY"), "Cannot execute query in readonly mode")
        if statement.touches_files or (refused := statement.called & self._refused):
            what = "INTO OUTFILE and FROM INFILE" if statement.touches_files else ", ".join(sorted(refused))
            raise ClickHouseError(
                code_of("ACCESS_DENIED"), f"This server reaches neither files nor the network, as {what} would"
            )


def _drop_definition_of_empty_database(folder: Path) -> None:
    """Remove what a database that never had a table leaves, as chDB cannot attach it again."""
    metadata = folder / "metadata"
    if not os.path.lexists(metadata / "default"):
        (metadata / "default.sql").unlink(missing_ok=True)


def _make_default_database_plain(keeper: Connection) -> None:
    """Replace chDB's default database, in which any quoted path is a table, by its plain half."""
    known = keeper.query("SELECT engine FROM system.databases WHERE name = 'default'", "TabSeparatedRaw").bytes()
    if known.strip() == b"Atomic":
        return
    keeper.query("DETACH DATABASE IF EXISTS default")
    try:
        keeper.query("ATTACH DATABASE default")
    except chdb.ChdbError:
        keeper.query("CREATE DATABASE default ENGINE = Atomic")


def _run(connection: Connection, statement: Statement, request: QueryRequest) -> Answer:
    if statement.insert_head is not None:
        return _insert(connection, statement.insert_head, statement.output_format or "Values", statement.insert_data)
    output_format = statement.output_format or request.default_format or _DEFAULT_FORMAT
    sql = request.sql.decode()
    joinable = output_format.lower() in _JOINABLE and statement.first_word in STREAMABLE
    if joinable and not request.is_buffered:
        return _stream(connection, sql, output_format, request.parameters)
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


def _stream(connection: Connection, sql: str, output_format: str, parameters: dict[str, str]) -> Answer:
    result = connection.send_query(sql, output_format, params=parameters)
    chunks, summary = [], Summary()
    # Two chunks show whether a result is small: then it can go out whole, with its length.
    for chunk in _first_two(result):
        chunks.append(chunk.bytes())
        summary = _summary(chunk)
    rest = _Rest(connection, result) if len(chunks) > 1 else None
    return Answer(body=b"".join(chunks), output_format=output_format, summary=summary, rest=rest)


def _first_two(result: StreamingResult) -> Iterable[_Counted]:
    for _ in range(2):
        chunk = result.fetch()  # type: ignore[no-untyped-call]
        if chunk is None:
            return
        yield chunk


class _Rest:
    def __init__(self, connection: Connection, result: StreamingResult) -> None:
        self._connection, self._result = connection, result

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
            self._connection.close()


def _summary(result: _Counted) -> Summary:
    return Summary(
        read_rows=result.storage_rows_read(),
        read_bytes=result.storage_bytes_read(),
        elapsed_ns=round(result.elapsed() * 1e9),
    )


def _quoted(text: str, quote: str) -> str:
    escaped = text.replace("\\", "\\\\").replace(quote, "\\" + quote)
    return f"{quote}{escaped}{quote}"


def _lower(asked: str | None, ceiling: int) -> int:
    """Take the smaller of both, in whole units; zero asks for no limit and gets the ceiling."""
    try:
        wanted = math.ceil(float(asked)) if asked else 0
    except (ValueError, OverflowError):
        return ceiling
    return min(wanted, ceiling) if wanted > 0 else ceiling
