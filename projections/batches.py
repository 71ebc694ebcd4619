"""Decodes the column batches of the data plane: Arrow IPC in the value, the source's progress in the headers."""

from collections.abc import Mapping

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from projections.errors import UndecodableError
from projections.messages import Message, body
from projections.tables import Rows, Table
from projections.watermarks.rows import source_row
from schemas.observations import COLUMNS_ADDED_LATER, BatchHeaders, ColumnType, SourceKind, batch_headers

ARROW_TYPES: Mapping[ColumnType, pa.DataType] = {
    "string": pa.string(),
    "int64": pa.int64(),
    "int32": pa.int32(),
    "int16": pa.int16(),
    "float64": pa.float64(),
}
ORIGIN = (("source", pa.string()), ("kafka_partition", pa.uint16()), ("kafka_offset", pa.uint64()))

# 2020-01-01 and 2100-01-01: outside, a time is a broken clock or unit, and would open a partition of its own.
_EARLIEST_MS = 1_577_836_800_000
LATEST_MS = 4_102_444_800_000
_MAX_BATCH = 2**63 - 1


def batch_table(name: str, columns: Mapping[str, ColumnType]) -> Table:
    """Return the table that takes a batch's columns plus where each row came from."""
    fields = [pa.field(column, ARROW_TYPES[kind], nullable=False) for column, kind in columns.items()]
    origin = [pa.field(column, kind, nullable=False) for column, kind in ORIGIN]
    return Table(name=name, columns=pa.schema([*fields, *origin]), origin=tuple(column for column, _ in ORIGIN))


def batch_rows(message: Message, *, table: Table, kind: SourceKind, time_column: str) -> tuple[Rows, Rows]:
    """Return the rows of a batch and the row that says up to when its source is complete.

    Raises:
        UndecodableError: headers or columns are not as promised.
    """
    headers = _headers(message, kind)
    batch = _columns(body(message), table)
    if batch.num_rows != headers.rows:
        raise UndecodableError(f"the header promises {headers.rows} rows, the batch has {batch.num_rows}")
    _check_times(batch, time_column)
    values = [*batch.columns, *_origin(message, headers, batch.num_rows)]
    return Rows(table, pa.Table.from_arrays(values, schema=table.columns)), source_row(message, headers)


def _headers(message: Message, kind: SourceKind) -> BatchHeaders:
    try:
        headers = batch_headers(list(message.headers))
    except (msgspec.ValidationError, UnicodeDecodeError) as error:
        raise UndecodableError(f"the headers are not those of a batch: {error}") from error
    if not (headers.batch <= _MAX_BATCH and headers.closed_until_ms < LATEST_MS):
        raise UndecodableError(f"batch {headers.batch} closes {headers.closed_until_ms}: not a batch's number and time")
    if headers.kind != kind:
        raise UndecodableError(f"a batch of {headers.kind} is in the topic of {kind}")
    return headers


def _columns(value: bytes, table: Table) -> pa.Table:
    wanted = pa.schema(list(table.columns)[: -len(ORIGIN)])
    try:
        with pa.ipc.open_stream(value) as stream:
            read = stream.read_all()
        read.validate(full=True)
        # The cast also refuses nulls, as no column is nullable.
        return _completed(read, wanted).select(wanted.names).cast(wanted)
    except (pa.ArrowException, KeyError, ValueError, OSError) as error:
        raise UndecodableError(f"the value is not a batch of {table.name}: {error}") from error


def _completed(read: pa.Table, wanted: pa.Schema) -> pa.Table:
    for name in wanted.names:
        if name not in read.column_names and name in COLUMNS_ADDED_LATER:
            default = pa.repeat(pa.scalar(COLUMNS_ADDED_LATER[name], type=wanted.field(name).type), read.num_rows)
            read = read.append_column(name, default)
    return read


def _check_times(batch: pa.Table, column: str) -> None:
    if batch.num_rows:
        bounds = pc.min_max(batch[column]).as_py()
        if not _EARLIEST_MS <= bounds["min"] <= bounds["max"] < LATEST_MS:
            raise UndecodableError(f"{column} reaches from {bounds['min']} to {bounds['max']}: not Unix milliseconds")


def _origin(message: Message, headers: BatchHeaders, rows: int) -> list[pa.Array]:
    values = (headers.source, message.partition, message.offset)
    return [pa.repeat(pa.scalar(value, type=kind), rows) for value, (_, kind) in zip(values, ORIGIN, strict=True)]
