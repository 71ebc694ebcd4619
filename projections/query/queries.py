"""Read-only SQL on the views of one workspace, with limits."""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from projections.errors import BadQuery, StoreRefusedError, StoreUnavailableError
from projections.query.confinement import confined
from projections.query.lane import QueryLane
from projections.reading import unavailable

MEDIA_TYPES: Mapping[str, str] = {
    "JSONCompact": "application/json",
    "JSON": "application/json",
    "JSONEachRow": "application/x-ndjson",
    "JSONCompactEachRow": "application/x-ndjson",
    "CSVWithNames": "text/csv",
    "TSVWithNames": "text/tab-separated-values",
    "PrettyCompactMonoBlock": "text/plain",
    "Arrow": "application/vnd.apache.arrow.file",
}
MAX_SQL_BYTES = 64 * 1024
# Memory and the size of a result are bounded by the server's own profile.
_LIMITS: Mapping[str, str] = {
    # Level 1 refuses writes, settings, and table functions that reach files, networks and programs.
    "readonly": "1",
    # What the projections and the judge need of the machine is left to them.
    "max_threads": "1",
    "max_result_rows": "100000",
    "result_overflow_mode": "throw",
    # The rows that were read are those of all workspaces.
    "output_format_write_statistics": "0",
}
_TIMEOUT_EXCEEDED = 159
# Comments, and what only looks like one inside of a text or a quoted name.
_COMMENT_OR_QUOTED = re.compile(
    r"""(?P<comment>--[^\n]*|\#[ !][^\n]*|/\*.*?(?:\*/|\Z))|'(?:[^'\\]|\\.)*'?|"(?:[^"\\]|\\.)*"?|`(?:[^`\\]|\\.)*`?""",
    re.DOTALL,
)
_READING = re.compile(r"\s*(select|with|show|describe|desc|explain|exists)\b|\s*\(", re.IGNORECASE)
_PLACEHOLDER = re.compile(r"\{\w+:[^}]+\}")
_TRAILER = re.compile(r"\b(format\s+\w+|into\s+outfile\b.*)\s*\Z", re.IGNORECASE | re.DOTALL)


class Sql(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One statement; `{name:Type}` in it is bound from `parameters` by the server."""

    sql: str
    parameters: dict[str, str | int | float | bool | list[str | int | float] | None] = {}
    format: str = "JSONCompact"


async def run_sql(lane: QueryLane, query: Sql, *, workspace: str, principal: str) -> bytes:
    """Return the answer in the format that was asked for, from the rows of the workspace.

    Raises:
        BadQuery: the statement is refused, by us or by ClickHouse, whose words are passed on, or takes too long.
        TooManyStatements: too many statements of this principal run and wait.
        QueriesBusy: too many statements run and wait.
        SqlUnprotected: ClickHouse does not separate the workspaces.
        ViewUnavailable: ClickHouse is away.
    """
    sql = _checked(query)
    # Without a placeholder the client would take each % of the statement for one of its own.
    parameters = dict(query.parameters) if _PLACEHOLDER.search(sql) else {}

    try:
        async with lane.turn(principal) as store:
            confinement = await confined(store, sql, parameters, workspace=workspace)
            settings = {**confinement, **_LIMITS, "max_execution_time": str(lane.limits.seconds)}

            def ask(client: Any) -> bytes:  # noqa: ANN401  the client is typed where it is made
                return bytes(client.raw_query(sql, parameters=parameters, settings=settings, fmt=query.format))

            return await store.run(ask)
    except StoreRefusedError as error:
        raise BadQuery(_words_of(error), field="sql", remedy="correct the statement, or query less") from error
    except StoreUnavailableError as error:
        if error.store_code == _TIMEOUT_EXCEEDED:
            raise BadQuery(
                f"the statement took longer than {lane.limits.seconds} s and was stopped",
                field="sql",
                remedy="ask for fewer rows, or for a shorter time",
            ) from error
        raise unavailable() from error


def _checked(query: Sql) -> str:
    if query.format not in MEDIA_TYPES:
        raise BadQuery(
            f"the format {query.format!r} is not offered", field="format", remedy=f"one of {', '.join(MEDIA_TYPES)}"
        )
    if len(query.sql.encode()) > MAX_SQL_BYTES:
        raise BadQuery(f"the statement is longer than {MAX_SQL_BYTES} bytes", field="sql", remedy="bind parameters")
    sql = _without_end_mark(query.sql.strip())
    plain = _without_comments(sql)
    if not _READING.match(plain):
        raise BadQuery("only read-only statements are allowed", field="sql", remedy="begin with SELECT, WITH or SHOW")
    if _TRAILER.search(plain):
        raise BadQuery("the statement must not choose its output or format", field="sql", remedy="use `format`")
    return sql


def _without_end_mark(sql: str) -> str:
    """Drop the semicolon that ends a statement, and what comments stand behind it."""
    end = len(_without_comments(sql).rstrip())
    return sql[: end - 1].rstrip() if sql[:end].endswith(";") else sql


def _without_comments(sql: str) -> str:
    """Write spaces over the comments, so that every other character keeps its place."""
    return _COMMENT_OR_QUOTED.sub(lambda found: " " * len(found[0]) if found["comment"] else found[0], sql)


def _words_of(error: StoreRefusedError) -> str:
    text = str(error)
    start = text.find("DB::Exception:")
    words = text[start + len("DB::Exception:") :] if start >= 0 else text
    return words.split("(for url", maxsplit=1)[0].strip()[:1_000]
