"""What can go wrong on the read side.

ProjectionError
├── UndecodableError         a message is not a batch, event or feedback: it goes to the dead letters
├── NotProjectedError        a view failed on a message: it goes there too, and the view counts as failing
├── TopicMovedOnError        a topic lost messages while it was read again
├── StoreUnavailableError    ClickHouse is away or overloaded: trying again may help
├── StoreRefusedError        ClickHouse understood and refused: trying again will not help
└── QueryError               an error for the caller of a query; the API maps `code` and `status`
    ├── BadQuery             400
    ├── PredictionUnknown    404
    ├── TooManyStatements    429
    ├── QueriesBusy          503
    ├── SqlUnprotected       503
    ├── ViewUnavailable      503
    └── ViewStale            503
"""

from typing import ClassVar

_MAX_REASON = 1_000


class ProjectionError(Exception):
    """Base of this tree."""


class UndecodableError(ProjectionError):
    """The message does not have the form its topic promises; the text is the reason that people will read."""


class NotProjectedError(ProjectionError):
    """A view, or the feed that it reads, failed on a message, which is a bug of ours.

    `by` is the table that the rows were for, or the topic of the feed.
    """

    def __init__(self, by: str, error: Exception) -> None:
        super().__init__(f"{by} failed on it: {repr(error)[:_MAX_REASON]}")
        self.by = by


class TopicMovedOnError(ProjectionError):
    """Messages that were to be read again are no longer in the topic."""


class StoreUnavailableError(ProjectionError):
    """ClickHouse did not answer, or cannot take the work now. `store_code` is its own number, where it gave one."""

    def __init__(self, detail: str, *, store_code: int | None = None) -> None:
        super().__init__(detail)
        self.store_code = store_code


class StoreRefusedError(ProjectionError):
    """ClickHouse answered that the statement itself is wrong. `store_code` is its own number."""

    def __init__(self, detail: str, *, store_code: int | None = None) -> None:
        super().__init__(detail)
        self.store_code = store_code


class QueryError(ProjectionError):
    """A query that is not answered: one sentence, the field it is about, and what the caller can do."""

    code: ClassVar[str] = "query-failed"
    status: ClassVar[int] = 500

    def __init__(self, detail: str, *, field: str | None = None, remedy: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.field = field
        self.remedy = remedy


class BadQuery(QueryError):
    """The query or one of its parameters is malformed, or asks for more than its limits allow."""

    code = "bad-query"
    status = 400


class PredictionUnknown(QueryError):
    """No request record has this prediction id, or none has arrived yet."""

    code = "prediction-not-found"
    status = 404


class TooManyStatements(QueryError):
    """The principal already has the maximum number of SQL statements running or waiting."""

    code = "too-many-statements"
    status = 429

    def __init__(self, *, running: int, waiting: int) -> None:
        super().__init__(
            f"you have {running} running and {waiting} waiting statements, which is the limit for one principal",
            remedy="wait for an answer before sending the next; the API's operator sets the limit with "
            "ROLLBOOK_API_SQL_AT_ONCE_EACH and ROLLBOOK_API_SQL_WAITING_EACH",
        )


class QueriesBusy(QueryError):
    """The maximum number of SQL statements is running, and too many are waiting."""

    code = "queries-busy"
    status = 503

    def __init__(self, at_once: int) -> None:
        super().__init__(
            f"{at_once} statements are already running, and others are waiting", remedy="try again in a few seconds"
        )


class SqlUnprotected(QueryError):
    """ClickHouse does not separate the workspaces in the tables that a statement names."""

    code = "sql-unprotected"
    status = 503

    def __init__(self, tables: str) -> None:
        super().__init__(
            f"ClickHouse has no row policies that separate the workspaces in {tables}",
            remedy="the operator grants the rights on row policies to Rollbook's user of ClickHouse and restarts the "
            "program projections",
        )


class ViewUnavailable(QueryError):
    """ClickHouse, which holds the views, is unavailable."""

    code = "view-unavailable"
    status = 503


class ViewStale(QueryError):
    """The view has not reached the position that the caller asked for."""

    code = "view-stale"
    status = 503
