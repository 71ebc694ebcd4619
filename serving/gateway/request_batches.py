"""Column batches of request records: Arrow IPC streams with the columns of the contract."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from schemas.observations import REQUEST_COLUMNS

_TYPES = {
    "string": pa.string(),
    "int64": pa.int64(),
    "int32": pa.int32(),
    "int16": pa.int16(),
    "float64": pa.float64(),
}
_SCHEMA = pa.schema([(name, _TYPES[kind]) for name, kind in REQUEST_COLUMNS.items()])


def encode_rows(rows: Sequence[tuple[Any, ...]]) -> bytes:
    """Write rows as one Arrow IPC stream; without rows it contains the schema only."""
    columns = zip(*rows, strict=True) if rows else ([] for _ in _SCHEMA)
    arrays = [pa.array(list(values), type=field.type) for values, field in zip(columns, _SCHEMA, strict=True)]
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, _SCHEMA) as writer:
        writer.write_batch(pa.record_batch(arrays, schema=_SCHEMA))
    return bytes(sink.getvalue())
