"""chDB behind a door: each query has a session of its own, and limits.

A chDB connection runs one query at a time and keeps what a query sets, so a query gets
a fresh one (0.3 ms) and nothing leaks from one caller to the next.
"""

import math
import os
import re
import threading
from pathlib import Path
from urllib.parse import urlencode

import chdb
import msgspec
from chdb.state.sqlitelike import Connection

from infra.clickhouse.http_errors import ClickHouseError, code_of, from_engine
from infra.clickhouse.http_requests import QueryRequest
from infra.clickhouse.row_policies import Policies, PolicyFile, configuration, filters_of, with_created
from infra.clickhouse.running import Answer, run
from infra.clickhouse.statements import Statement, read_statement

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


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The most that one query may take; a query can ask for less."""

    execution_seconds: int
    memory_bytes: int
    result_bytes: int

    def settings(self, asked: dict[str, str]) -> dict[str, str]:
        ceilings = zip(LIMITED, (self.execution_seconds, self.memory_bytes, self.result_bytes), strict=True)
        return {name: str(_lower(asked.get(name), ceiling)) for name, ceiling in ceilings}


class Engine:
    """One chDB on one folder. ``execute`` blocks and may be called from many threads."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self._folder = str(folder)
        self._limits = limits
        self._policy_file = PolicyFile(folder)
        self._policies = self._policy_file.read()
        # Counts the connections of queries, none of which may be open while chDB is closed and opened again.
        self._counting = threading.Lock()
        self._connections = 0
        self._keeper = _opened(self._folder, self._policies)
        self._is_open = True
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
            answer = run(connection, statement, request, self._let_go)
            keep = answer.rest is not None
            return answer
        except (chdb.ChdbError, RuntimeError) as error:
            raise from_engine(error) from error
        finally:
            if not keep:
                self._let_go(connection)

    def changed_policies(self, request: QueryRequest) -> Policies | None:
        """Return the policies after a CREATE ROW POLICY, or None if they are so already."""
        statement = read_statement(request.sql)
        self._check(statement, request)
        wanted = with_created(
            self._policies, self._canonical(request.sql.decode()), database=request.database or "default"
        )
        return None if wanted == self._policies else wanted

    def adopt(self, policies: Policies) -> None:
        """Close chDB and open it with other policies; raises ClickHouseError while a query runs."""
        with self._counting:
            if self._connections:
                raise ClickHouseError(
                    code_of("TOO_MANY_SIMULTANEOUS_QUERIES"), "Row policies cannot change while a query runs"
                )
            self._is_open = False
            self._keeper.close()
            try:
                self._keeper = _opened(self._folder, policies)
            except RuntimeError as error:
                self._keeper = _opened(self._folder, self._policies)
                self._is_open = True
                raise from_engine(error) from error
            self._is_open = True
            self._policy_file.write(policies)
            self._policies = policies

    def close(self) -> None:
        """Let go of the folder; what was acknowledged is on it already."""
        self._is_open = False
        self._keeper.close()

    def _connect(self, request: QueryRequest) -> Connection:
        # Settings in the address cost nothing; a SET costs as much as a small query.
        plain = {name: value for name, value in request.settings.items() if self._is_plain(name, value)}
        settings = {**_DEFAULTS, **plain, **self._limits.settings(request.settings)}
        with self._counting:
            # A connection without the keeper would open chDB without policies.
            if not self._is_open:
                raise ClickHouseError(code_of("UNKNOWN_EXCEPTION"), "The server has no database open")
            self._connections += 1
        try:
            return chdb.connect(f"{self._folder}?{urlencode(settings)}")
        except RuntimeError as error:
            with self._counting:
                self._connections -= 1
            raise from_engine(error) from error

    def _let_go(self, connection: Connection) -> None:
        try:
            connection.close()
        finally:
            with self._counting:
                self._connections -= 1

    def _canonical(self, sql: str) -> str:
        try:
            with self._counting:
                result = self._keeper.query("SELECT formatQuerySingleLine({sql:String})", "TSVRaw", params={"sql": sql})
        except (chdb.ChdbError, RuntimeError) as error:
            raise from_engine(error) from error
        return str(result.bytes(), "utf-8").strip()

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


def _opened(folder: str, policies: Policies) -> Connection:
    _drop_definition_of_empty_database(Path(folder))
    with configuration(policies) as config:
        keeper = chdb.connect(f"{folder}?config-file={config}")
    # An engine that read no policies would show every row.
    count = keeper.query("SELECT count() FROM system.row_policies", "TabSeparated").bytes()
    if int(count) != len(filters_of(policies)):
        keeper.close()
        raise RuntimeError("chDB did not take the row policies")
    _make_default_database_plain(keeper)
    return keeper


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
