"""The contents of the telemetry spool's frames, and the column batches made from them."""

from collections.abc import Sequence
from typing import Annotated

import msgspec
import pyarrow as pa
import structlog

from schemas.observations import TELEMETRY_COLUMNS
from serving.capture.records import Mark
from workers.serving_agent.spool_sources import SpoolSource

_TYPES = {"string": pa.string(), "int64": pa.int64(), "int32": pa.int32(), "float64": pa.float64()}
_SCHEMA = pa.schema([(name, _TYPES[kind]) for name, kind in TELEMETRY_COLUMNS.items()])

_log = structlog.get_logger(__name__)


class Subject(msgspec.Struct, frozen=True, array_like=True):
    """What was measured; only instances belong to a workspace, an endpoint and a deployment."""

    subject: str
    subject_id: str
    boot_id: str
    region: str
    workspace: str = ""
    endpoint_id: str = ""
    deployment_id: str = ""


class Sample(msgspec.Struct, frozen=True, array_like=True, tag="s"):
    """The results of one look at a subject, by measure; what was not found is left out."""

    subject: Subject
    sampled_at_ms: Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
    values: dict[str, float]


class Decoded(msgspec.Struct, frozen=True):
    """The rows of some frames, and the last mark among them."""

    rows: tuple[tuple[Sample, str, float], ...]
    last_mark: Mark = Mark(0)


_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Sample | Mark] = msgspec.msgpack.Decoder(Sample | Mark)


def encode(record: Sample | Mark) -> bytes:
    """Return the payload of a frame."""
    return _encoder.encode(record)


def decode_frames(payloads: Sequence[bytes]) -> Decoded:
    """Read the payloads of a spool; an unreadable one is logged and left out, the same way each time."""
    rows: list[tuple[Sample, str, float]] = []
    last_mark = Mark(0)
    for payload in payloads:
        try:
            item = _decoder.decode(payload)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            _log.error("telemetry_record_unreadable", reason=str(error))
            continue
        if isinstance(item, Mark):
            last_mark = item
        else:
            rows += [(item, measure, value) for measure, value in item.values.items()]
    return Decoded(tuple(rows), last_mark)


def encode_rows(source: SpoolSource, rows: Sequence[tuple[Sample, str, float]], *, batch: int) -> bytes:
    """Write rows as one Arrow IPC stream; without rows it contains the schema only."""
    mappings = [
        {
            **msgspec.structs.asdict(sample.subject),
            "sampled_at_ms": sample.sampled_at_ms,
            "measure": measure,
            "value": value,
            "source_id": source.boot_id,
            "batch": batch,
            "row": row,
        }
        for row, (sample, measure, value) in enumerate(rows)
    ]
    table = pa.Table.from_pylist(mappings, schema=_SCHEMA)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, _SCHEMA) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())
