"""Column batches of captured predictions: Arrow IPC streams with the columns of the contract."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pyarrow as pa
import structlog

from schemas.observations import OBSERVATION_COLUMNS
from serving.capture import records
from serving.capture.records import Mark, ObservationRecord
from workers.serving_agent.spool_sources import SpoolSource

_TYPES = {
    "string": pa.string(),
    "int64": pa.int64(),
    "int32": pa.int32(),
    "int16": pa.int16(),
    "float64": pa.float64(),
}
_SCHEMA = pa.schema([(name, _TYPES[kind]) for name, kind in OBSERVATION_COLUMNS.items()])

_log = structlog.get_logger(__name__)


class Decoded(msgspec.Struct, frozen=True):
    """The records of some frames, and the last mark among them; without one, an empty mark."""

    rows: tuple[ObservationRecord, ...]
    last_mark: Mark = Mark(0)


def decode_frames(payloads: Sequence[bytes]) -> Decoded:
    """Read the payloads of a spool; an unreadable one is logged and left out, the same way each time."""
    rows: list[ObservationRecord] = []
    last_mark = Mark(0)
    for payload in payloads:
        try:
            item = records.decode(payload)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            _log.error("spool_record_unreadable", reason=str(error))
            continue
        if isinstance(item, Mark):
            last_mark = item
        else:
            rows.append(item)
    return Decoded(tuple(rows), last_mark)


def encode_rows(source: SpoolSource, rows: Sequence[ObservationRecord], *, batch: int) -> bytes:
    """Write rows as one Arrow IPC stream; without rows it contains the schema only."""
    shared = msgspec.structs.asdict(source)
    columns: dict[str, list[Any]] = {
        name: [shared[name]] * len(rows) if name in shared else [getattr(row, name, None) for row in rows]
        for name in OBSERVATION_COLUMNS
    }
    columns["batch"] = [batch] * len(rows)
    columns["row"] = list(range(len(rows)))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, _SCHEMA) as writer:
        arrays = [pa.array(columns[field.name], type=field.type) for field in _SCHEMA]
        writer.write_batch(pa.record_batch(arrays, schema=_SCHEMA))
    return bytes(sink.getvalue())
