"""Column batches of the data plane: Arrow IPC in the value, the source's progress in the headers."""

from collections.abc import Mapping, Sequence
from functools import partial

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from projections.errors import UndecodableError
from projections.feeds.feed import Feed
from projections.messages import Message, body
from projections.tables import Retention, Rows, Table
from schemas import topics
from schemas.observations import (
    COLUMNS_ADDED_LATER,
    OBSERVATION_COLUMNS,
    REQUEST_COLUMNS,
    TELEMETRY_COLUMNS,
    BatchHeaders,
    ColumnType,
    SourceKind,
    batch_headers,
)

ARROW_TYPES: Mapping[ColumnType, pa.DataType] = {
    "string": pa.string(),
    "int64": pa.int64(),
    "int32": pa.int32(),
    "int16": pa.int16(),
    "float64": pa.float64(),
}
ORIGIN = (("source", pa.string()), ("kafka_partition", pa.uint16()), ("kafka_offset", pa.uint64()))

# 2020-01-01 and 2100-01-01: outside, a time is a broken clock or unit, and would open a partition of its own.
EARLIEST_MS = 1_577_836_800_000
LATEST_MS = 4_102_444_800_000
_MAX_BATCH = 2**63 - 1
# A clock that is set back while a request is under way makes the request begin after its end.
_MAX_SET_BACK_MS = 24 * 3_600_000


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """The rows of a batch as columns, and what its source says of itself."""

    headers: BatchHeaders
    columns: pa.Table


def batch_table(name: str, columns: Mapping[str, ColumnType], *, time_column: str, retention: Retention) -> Table:
    """Return the table that takes a batch's columns plus where each row came from."""
    origin = [pa.field(column, kind, nullable=False) for column, kind in ORIGIN]
    return Table(
        name=name,
        columns=pa.schema([*_fields(columns), *origin]),
        origin=tuple(column for column, _ in ORIGIN),
        time_column=time_column,
        retention=retention,
    )


def batch_rows(batch: Batch, message: Message, *, table: Table) -> Rows:
    """Return the rows of a batch for its table."""
    values = [*batch.columns.columns, *_origin(message, batch)]
    return Rows(table, pa.Table.from_arrays(values, schema=table.columns))


def read_batch(
    message: Message, *, kind: SourceKind, columns: Mapping[str, ColumnType], time_columns: Sequence[str]
) -> Batch:
    """Read a batch and check that it is what its headers promise.

    Raises:
        UndecodableError: headers or columns are not as promised.
    """
    headers = _headers(message, kind)
    found = _columns(body(message), kind, columns)
    if found.num_rows != headers.rows:
        raise UndecodableError(f"the header promises {headers.rows} rows, the batch has {found.num_rows}")
    for time_column in time_columns:
        _check_times(found, time_column)
    return Batch(headers=headers, columns=found)


def read_requests(message: Message) -> Batch:
    """Read a batch of request records.

    Raises:
        UndecodableError: it is not such a batch, or a request began long after its end.
    """
    batch = read_batch(message, kind="requests", columns=REQUEST_COLUMNS, time_columns=("started_at_ms", "ended_at_ms"))
    _check_order(batch.columns, "started_at_ms", "ended_at_ms")
    return batch


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


def _fields(columns: Mapping[str, ColumnType]) -> list[pa.Field]:
    return [pa.field(column, ARROW_TYPES[kind], nullable=False) for column, kind in columns.items()]


def _columns(value: bytes, kind: SourceKind, columns: Mapping[str, ColumnType]) -> pa.Table:
    wanted = pa.schema(_fields(columns))
    try:
        with pa.ipc.open_stream(value) as stream:
            read = stream.read_all()
        read.validate(full=True)
        # The cast also refuses nulls, as no column is nullable.
        return _completed(read, wanted).select(wanted.names).cast(wanted)
    except (pa.ArrowException, KeyError, ValueError, OSError) as error:
        raise UndecodableError(f"the value is not a batch of {kind}: {error}") from error


def _completed(read: pa.Table, wanted: pa.Schema) -> pa.Table:
    for name in wanted.names:
        if name not in read.column_names and name in COLUMNS_ADDED_LATER:
            default = pa.repeat(pa.scalar(COLUMNS_ADDED_LATER[name], type=wanted.field(name).type), read.num_rows)
            read = read.append_column(name, default)
    return read


def _check_times(batch: pa.Table, column: str) -> None:
    if batch.num_rows:
        bounds = pc.min_max(batch[column]).as_py()
        if not EARLIEST_MS <= bounds["min"] <= bounds["max"] < LATEST_MS:
            raise UndecodableError(f"{column} reaches from {bounds['min']} to {bounds['max']}: not Unix milliseconds")


def _check_order(batch: pa.Table, begin: str, end: str) -> None:
    ahead_ms = pc.max(pc.subtract(batch[begin], batch[end])).as_py()
    if ahead_ms is not None and ahead_ms > _MAX_SET_BACK_MS:
        raise UndecodableError(f"{begin} is up to {ahead_ms} ms after {end}: one of them is no time of the request")


def _origin(message: Message, batch: Batch) -> list[pa.Array]:
    values = (batch.headers.source, message.partition, message.offset)
    rows = batch.columns.num_rows
    return [pa.repeat(pa.scalar(value, type=kind), rows) for value, (_, kind) in zip(values, ORIGIN, strict=True)]


# A batch of requests has up to 500 rows, one of observations up to some MiB.
REQUEST_BATCHES = Feed(
    topic=topics.REQUESTS,
    decode=read_requests,
    max_messages=200,
    pace="request",
)
OBSERVATION_BATCHES = Feed(
    topic=topics.OBSERVATIONS,
    decode=partial(read_batch, kind="observations", columns=OBSERVATION_COLUMNS, time_columns=("captured_at_ms",)),
    max_messages=64,
    pace="spread",
)
TELEMETRY_BATCHES = Feed(
    topic=topics.TELEMETRY,
    decode=partial(read_batch, kind="telemetry", columns=TELEMETRY_COLUMNS, time_columns=("sampled_at_ms",)),
    max_messages=64,
    pace="spread",
)
