"""What a projector hands to the sink: rows for named tables, put together into few large inserts."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import msgspec
import pyarrow as pa

from projections.errors import NotProjectedError, UndecodableError
from projections.messages import Message
from schemas.topics import Topic

REBUILT = "_rebuilt"
"""What the name of a table that is built again ends in."""


class Retention(msgspec.Struct, frozen=True, kw_only=True):
    """For how many days a table keeps rows unless settings say otherwise.

    Where a row has a number of days of its own, `days_column` names its column, and `days` is what rows usually have.
    """

    days: int
    days_column: str | None = None


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """A table of ClickHouse and the columns that are inserted.

    Rows of a table that `counts` are added up, so that a rebuild, which reads them again, leaves the table alone. Rows
    of a table that `folds` may be inserted in any order and any number of times with the same result; the
    sink spares them the bookkeeping that gives other rows one effect. Columns of `origin` say where a row was read,
    not what it says: the same row may come from elsewhere again.
    `time_column` holds the time of a row, in Unix ms or as a timestamp. Rows are kept from then on for the days of
    `retention`; without one they are kept forever.
    """

    name: str
    columns: pa.Schema
    folds: bool = False
    counts: bool = False
    origin: tuple[str, ...] = ("kafka_partition", "kafka_offset")
    time_column: str | None = None
    retention: Retention | None = None

    @property
    def has_retention_setting(self) -> bool:
        """Whether one number of days is right for all rows."""
        return self.retention is not None and self.retention.days_column is None

    def expiry(self, days: int | str) -> str:
        """Return the time after which ClickHouse deletes a row, as an expression; days are a number or a column."""
        return f"toDateTime(fromUnixTimestamp64Milli({self.time_column}, 'UTC')) + toIntervalDay({days})"


class Rows(msgspec.Struct, frozen=True):
    """Rows of one table, as mappings by column name or as columns."""

    table: Table
    values: Sequence[Mapping[str, Any]] | pa.Table

    def __len__(self) -> int:
        return len(self.values)


class Projector(Protocol):
    """How the messages of one topic become rows. Pure: same message, same rows, whatever came before."""

    @property
    def topic(self) -> Topic:
        """The topic whose messages it reads."""
        ...

    @property
    def tables(self) -> tuple[Table, ...]:
        """Every table it fills, in the order of insertion: what readers take as the sign of completeness is last."""
        ...

    def project(self, message: Message) -> Iterable[Rows]:
        """Return the rows of one message.

        Raises:
            UndecodableError: the message does not have the form of its topic.
            NotProjectedError: a view failed on it.
        """
        ...


class Rejected(msgspec.Struct, frozen=True):
    """A message that has no rows, and why."""

    message: Message
    error: UndecodableError | NotProjectedError


class Projected(msgspec.Struct, frozen=True, kw_only=True):
    """What several messages became: a block of rows for each table that has some, and the messages without rows."""

    blocks: list[tuple[Table, pa.Table]]
    rejected: list[Rejected]


def project_all(projector: Projector, messages: Iterable[Message]) -> Projected:
    """Project messages together. One that a view fails on takes no other with it."""
    projected: list[tuple[Message, tuple[Rows, ...]]] = []
    rejected: list[Rejected] = []
    for message in messages:
        try:
            projected.append((message, tuple(projector.project(message))))
        except (UndecodableError, NotProjectedError) as error:
            rejected.append(Rejected(message, error))
    try:
        blocks = assemble(projector.tables, [rows for _, parts in projected for rows in parts])
    except NotProjectedError:
        fitting, others = _fitting(projector.tables, projected)
        blocks = assemble(projector.tables, fitting)
        rejected += others
    return Projected(blocks=blocks, rejected=sorted(rejected, key=lambda one: one.message.offset))


def _fitting(
    tables: Iterable[Table], projected: Iterable[tuple[Message, Sequence[Rows]]]
) -> tuple[list[Rows], list[Rejected]]:
    """Tell the rows that fit their tables from the messages whose rows do not."""
    fitting: list[Rows] = []
    rejected: list[Rejected] = []
    for message, parts in projected:
        try:
            assemble(tables, parts)
        except NotProjectedError as error:
            rejected.append(Rejected(message, error))
        else:
            fitting += parts
    return fitting, rejected


def assemble(tables: Iterable[Table], parts: Sequence[Rows]) -> list[tuple[Table, pa.Table]]:
    """Concatenate the rows of each table, in the order of `tables`; tables without rows are left out.

    Raises:
        NotProjectedError: a row does not fit its table.
    """
    blocks = [(table, _block(table, [part for part in parts if part.table is table])) for table in tables]
    return [(table, block) for table, block in blocks if block.num_rows]


def _block(table: Table, parts: Sequence[Rows]) -> pa.Table:
    try:
        return _joined(table, parts)
    except MemoryError:
        raise
    except Exception as error:
        raise NotProjectedError(table.name, error) from error


def _joined(table: Table, parts: Sequence[Rows]) -> pa.Table:
    columns = [part.values for part in parts if isinstance(part.values, pa.Table)]
    mappings = [row for part in parts if not isinstance(part.values, pa.Table) for row in part.values]
    if mappings:
        columns.append(pa.Table.from_pylist(mappings, schema=table.columns))
    if not columns:
        return table.columns.empty_table()
    # One chunk a column = one block in ClickHouse = one insert that is there or not, with one token.
    return pa.concat_tables(columns).combine_chunks()
