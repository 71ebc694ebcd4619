"""Messages of the topics, as their writers make them."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import pyarrow as pa

from projections.feeds.batches import ARROW_TYPES
from projections.messages import Message
from schemas import envelope
from schemas.catalogue import TYPE_NAMES
from schemas.envelope import Envelope, encode_data, rfc3339
from schemas.identifiers import EventId, StreamId
from schemas.observations import (
    COLUMNS_ADDED_LATER,
    OBSERVATION_COLUMNS,
    REQUEST_COLUMNS,
    BatchHeaders,
    ColumnType,
    Feedback,
    SourceKind,
)
from schemas.topics import FEEDBACK, OBSERVATIONS, REGISTRY_EVENTS, REQUESTS

WORKSPACE = "default"
ENDPOINT = "endpoint-01900000-0000-7000-8000-000000000001"
ROLLOUT = "rollout-01900000-0000-7000-8000-000000000002"
EPOCH = 7


def prediction_id(started_at_ms: int, number: int) -> str:
    return f"{started_at_ms:013d}-{uuid.UUID(int=number, version=4)}"


def request_row(number: int, *, started_at_ms: int, **changes: Any) -> dict[str, Any]:  # noqa: ANN401
    row = {
        "prediction_id": prediction_id(started_at_ms, number),
        "workspace": WORKSPACE,
        "endpoint_id": ENDPOINT,
        "endpoint": "digits",
        "deployment_id": "blue",
        "version_id": "version-1",
        "version": "digits/1",
        "epoch": EPOCH,
        "role": "primary",
        "region": "local",
        "instance": "instance-1",
        "status": 200,
        "response_flags": "",
        "attempts": 1,
        "started_at_ms": started_at_ms,
        "ended_at_ms": started_at_ms + 5,
        "duration_ms": 5.0,
        "upstream_ms": 3.0,
        "request_bytes": 100,
        "response_bytes": 50,
        "gateway_id": "gateway-1",
        "file_number": 0,
        "byte_offset": number * 100,
        "trace_id": f"{number:032x}",
        "drawn_deployment_id": "",
        "instance_region": "local",
        "kind": "prediction",
    }
    return row | changes


def observation_row(number: int, *, started_at_ms: int, prediction: str, **changes: Any) -> dict[str, Any]:  # noqa: ANN401
    row = {
        "prediction_id": prediction_id(started_at_ms, number),
        "workspace": WORKSPACE,
        "endpoint_id": ENDPOINT,
        "deployment_id": "blue",
        "version_id": "version-1",
        "instance_id": "instance-1",
        "captured_at_ms": started_at_ms + 3,
        "status": 200,
        "inputs": "[]",
        "outputs": f"[{prediction}]",
        "prediction": prediction,
        "engine_ms": 2.0,
        "boot_id": "boot-1",
        "batch": 0,
        "row": number,
        **{name: value for name, value in COLUMNS_ADDED_LATER.items() if name in OBSERVATION_COLUMNS},
    }
    return row | changes


def headers(
    *, source: str, kind: SourceKind, batch: int, rows: int, closed_until_ms: int, is_closing: bool = False
) -> BatchHeaders:
    return BatchHeaders(
        source=source,
        kind=kind,
        region="local",
        batch=batch,
        rows=rows,
        closed_until_ms=closed_until_ms,
        state="closing" if is_closing else "open",
    )


def ipc(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, ColumnType]) -> bytes:
    schema = pa.schema([(name, ARROW_TYPES[kind]) for name, kind in columns.items()])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as stream:
        stream.write_table(pa.Table.from_pylist(list(rows), schema=schema))
    return bytes(sink.getvalue().to_pybytes())


def batch_message(
    rows: Sequence[Mapping[str, Any]], *, described: BatchHeaders, offset: int, timestamp_ms: int
) -> Message:
    is_requests = described.kind == "requests"
    return Message(
        topic=(REQUESTS if is_requests else OBSERVATIONS).name,
        partition=0,
        offset=offset,
        timestamp_ms=timestamp_ms,
        key=described.source.encode(),
        value=ipc(rows, REQUEST_COLUMNS if is_requests else OBSERVATION_COLUMNS),
        headers=tuple(described.as_kafka()),
    )


def feedback_message(
    number: int, *, started_at_ms: int, value: str, received_at_ms: int, offset: int, name: str = "label"
) -> Message:
    feedback = Feedback(
        workspace=WORKSPACE,
        prediction_id=prediction_id(started_at_ms, number),
        source="api",
        name=name,
        value=value,
        observed_at_ms=received_at_ms,
        received_at_ms=received_at_ms,
    )
    return Message(
        topic=FEEDBACK.name,
        partition=0,
        offset=offset,
        timestamp_ms=received_at_ms,
        key=feedback.prediction_id.encode(),
        value=msgspec.json.encode(feedback),
    )


def event_message(event: msgspec.Struct, *, stream: str, version: int, position: int, at_ms: int) -> Message:
    written = Envelope(
        type=TYPE_NAMES[type(event)],
        id=EventId(f"event-{position}"),
        time=rfc3339(at_ms),
        workspace=WORKSPACE,
        stream=StreamId(stream),
        streamversion=version,
        actor="principal-1",
        correlationid="c",
        causationid="c",
        commandid=f"command-{position}",
        data=encode_data(event),
    )
    return Message(
        topic=REGISTRY_EVENTS.name,
        partition=0,
        offset=position - 1,
        timestamp_ms=at_ms,
        key=stream.encode(),
        value=envelope.encode(written),
        headers=(("position", str(position).encode()),),
    )


def requests(rows: list[dict[str, object]], *, at_ms: int, offset: int = 0, source: str = "shipper-1") -> Message:
    described = headers(
        source=source, kind="requests", batch=offset, rows=len(rows), closed_until_ms=at_ms, is_closing=False
    )
    return batch_message(rows, described=described, offset=offset, timestamp_ms=at_ms)


def observations(rows: list[dict[str, object]], *, at_ms: int, offset: int = 0, source: str = "boot-1") -> Message:
    described = headers(
        source=source, kind="observations", batch=offset, rows=len(rows), closed_until_ms=at_ms, is_closing=False
    )
    return batch_message(rows, described=described, offset=offset, timestamp_ms=at_ms)
