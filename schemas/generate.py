"""Writes the contract in the languages of others: JSON Schema 2020-12 for each event type, and AsyncAPI 3.0.

`python -m schemas.generate` writes `schemas/generated`; with `--check` it only compares, and exits with 1 where what is
committed is not what the code says.
"""

import argparse
import inspect
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from schemas import topics
from schemas.catalogue import EVENT_TYPES
from schemas.documents import records
from schemas.documents.kinds import DOCUMENTS
from schemas.documents.records import StateRecord
from schemas.envelope import Envelope
from schemas.observations import (
    OBSERVATION_COLUMNS,
    REQUEST_COLUMNS,
    TELEMETRY_COLUMNS,
    BatchHeaders,
    ColumnType,
    Feedback,
)

FOLDER = Path(__file__).parent / "generated"
WRITTEN_ELSEWHERE = {"openapi.json"}
"""The API's document, which `control_plane.describe` writes: schemas import none of our packages."""
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_CLOUD_EVENT, _ARROW, _JSON = (
    "application/cloudevents+json",
    "application/vnd.apache.arrow.stream",
    "application/json",
)
_COPIED_HEADERS = (
    *("ce_specversion", "ce_type", "ce_source", "ce_id", "ce_time"),
    *("ce_subject", "ce_workspace", "ce_streamversion", "position"),
)
Document: TypeAlias = dict[str, Any]


def documents() -> dict[str, Document]:
    """Return every generated document by its path below `schemas/generated`."""
    events = {f"events/{name}.json": _schema_of(struct, name) for name, struct in sorted(EVENT_TYPES.items())}
    states = {f"documents/{kind}.json": _schema_of(struct, kind) for kind, struct in sorted(DOCUMENTS.items())}
    return {
        **events,
        **states,
        "state-record.json": _schema_of(StateRecord, "state-record"),
        "envelope.json": _schema_of(Envelope, "envelope"),
        "feedback.json": _schema_of(Feedback, "feedback"),
        "batch-headers.json": _schema_of(BatchHeaders, "batch-headers"),
        "asyncapi.json": _async_api(),
    }


def main(argv: list[str] | None = None) -> int:
    """Write the documents, or compare them with `--check`."""
    parser = argparse.ArgumentParser(prog="python -m schemas.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 where a file differs")
    arguments = parser.parse_args(argv)
    wanted = {path: _text(document) for path, document in documents().items()}
    stale = list(_differences(wanted, FOLDER))
    if arguments.check:
        sys.stdout.writelines(f"{line}\n" for line in stale)
        return 1 if stale else 0
    _write(wanted, FOLDER)
    sys.stdout.write(f"{len(wanted)} documents in {FOLDER}, {len(stale)} of them changed\n")
    return 0


def _schema_of(struct: type[msgspec.Struct], name: str) -> Document:
    (reference,), components = msgspec.json.schema_components([struct], ref_template="#/$defs/{name}")
    own = reference["$ref"].rpartition("/")[2]
    schema = {"$schema": _DIALECT, "$id": f"urn:rollbook:schema:{name}", **components.pop(own)}
    if components:
        schema["$defs"] = dict(sorted(components.items()))
    tidied: Document = _tidy(schema)
    return tidied


def _tidy(schema: Any) -> Any:  # noqa: ANN401  any JSON value
    """Close the objects: what we write has these fields and no others; readers let fields of a later release pass."""
    if isinstance(schema, list):
        return [_tidy(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _tidy(value) for key, value in schema.items()}
    if isinstance(closed.get("description"), str):
        closed["description"] = inspect.cleandoc(closed["description"])  # Pythons differ in what they keep of indents.
    if closed.get("type") == "object" and "properties" in closed:
        closed.setdefault("additionalProperties", False)
    return closed


def _async_api() -> Document:
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Rollbook",
            "version": "1",
            "description": "What the deployables of Rollbook tell each other through Kafka.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": _JSON,
        "channels": {topic.name: _channel(topic) for topic in topics.TOPICS},
        "operations": {f"write.{topic.name}": _operation(topic) for topic in topics.TOPICS},
        "components": {"messages": {**_event_messages(), **_document_messages(), **_other_messages()}},
    }


def _channel(topic: topics.Topic) -> Document:
    return {
        "address": topic.name,
        "description": f"{topic.content}. Key: {topic.key}.",
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in _messages_on(topic)},
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "partitions": topic.partitions,
                "topicConfiguration": _topic_configuration(topic),
            }
        },
    }


def _topic_configuration(topic: topics.Topic) -> Document:
    if topic.tombstones_kept_ms is None:
        return {"cleanup.policy": ["delete"], "retention.ms": topic.retention_ms}
    return {
        "cleanup.policy": ["compact"],
        "retention.ms": topic.retention_ms,
        "delete.retention.ms": topic.tombstones_kept_ms,
    }


def _operation(topic: topics.Topic) -> Document:
    return {
        "action": "send",
        "channel": {"$ref": f"#/channels/{topic.name}"},
        "summary": f"Written by: {topic.written_by}.",
    }


def _messages_on(topic: topics.Topic) -> list[str]:
    known = {
        topics.REGISTRY_EVENTS.name: sorted(EVENT_TYPES),
        topics.SERVING_STATE.name: [*(_document_name(kind) for kind in sorted(DOCUMENTS)), "Removed"],
        topics.REQUESTS.name: ["RequestBatch"],
        topics.OBSERVATIONS.name: ["ObservationBatch"],
        topics.TELEMETRY.name: ["TelemetryBatch"],
        topics.FEEDBACK.name: ["Feedback"],
    }
    return known.get(topic.name, ["DeadLetter"])


def _event_messages() -> dict[str, Document]:
    headers = {"type": "object", "properties": {name: {"type": "string"} for name in _COPIED_HEADERS}}
    return {
        name: {
            "name": name,
            "summary": _first_sentence(struct),
            "contentType": _CLOUD_EVENT,
            "headers": {**headers, "required": list(_COPIED_HEADERS)},
            "payload": {
                "allOf": [
                    {"$ref": "./envelope.json"},
                    {"properties": {"type": {"const": name}, "data": {"$ref": f"./events/{name}.json"}}},
                ]
            },
        }
        for name, struct in sorted(EVENT_TYPES.items())
    }


def _document_messages() -> dict[str, Document]:
    copied = (records.POSITION, "event_id", records.FORMAT)
    headers = {"type": "object", "properties": {name: {"type": "string"} for name in copied}, "required": list(copied)}
    of_kinds = {
        _document_name(kind): {
            "name": _document_name(kind),
            "summary": _first_sentence(struct),
            "contentType": _JSON,
            "headers": headers,
            "payload": {
                "allOf": [
                    {"$ref": "./state-record.json"},
                    {"properties": {"kind": {"const": kind}, "document": {"$ref": f"./documents/{kind}.json"}}},
                ]
            },
        }
        for kind, struct in sorted(DOCUMENTS.items())
    }
    removed = {"name": "Removed", "summary": "A document that was removed; no value.", "headers": headers}
    return {**of_kinds, "Removed": removed}


def _document_name(kind: str) -> str:
    return f"{kind.capitalize()}Document"


def _other_messages() -> dict[str, Document]:
    return {
        "RequestBatch": _batch("RequestBatch", "One row for every request that reached the gateway.", REQUEST_COLUMNS),
        "ObservationBatch": _batch(
            "ObservationBatch", "Captured inputs and outputs, after the capture policy.", OBSERVATION_COLUMNS
        ),
        "TelemetryBatch": _batch("TelemetryBatch", "What instances, hosts and gateways use.", TELEMETRY_COLUMNS),
        "Feedback": {
            "name": "Feedback",
            "summary": _first_sentence(Feedback),
            "contentType": _JSON,
            "payload": {"$ref": "./feedback.json"},
        },
        "DeadLetter": {
            "name": "DeadLetter",
            "summary": "A message that could not be decoded, unchanged.",
            "contentType": "application/octet-stream",
            "headers": {
                "type": "object",
                "properties": {name: {"type": "string"} for name in ("reason", "partition", "offset")},
            },
        },
    }


def _batch(name: str, summary: str, columns: dict[str, ColumnType]) -> Document:
    return {
        "name": name,
        "summary": summary,
        "contentType": _ARROW,
        "headers": {"$ref": "./batch-headers.json"},
        "payload": {"description": "An Arrow IPC stream of one table.", "x-columns": dict(columns)},
    }


def _first_sentence(struct: type[msgspec.Struct]) -> str:
    return (struct.__doc__ or "").strip().split("\n", maxsplit=1)[0]


def _text(document: Document) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _differences(wanted: dict[str, str], folder: Path) -> Iterator[str]:
    present = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*.json")}
    for name in sorted(wanted.keys() | present.keys()):
        if name in WRITTEN_ELSEWHERE:
            continue
        if name not in wanted:
            yield f"{name}: no code generates this file; a published type may never be removed"
        elif name not in present:
            yield f"{name}: not written yet"
        elif (written := present[name].read_text(encoding="utf-8")) != wanted[name]:
            yield f"{name}: {_first_difference(written, wanted[name])}"


def _first_difference(written: str, wanted: str) -> str:
    old, new = written.splitlines(), wanted.splitlines()
    number = next(
        (n for n, pair in enumerate(zip(old, new, strict=False)) if pair[0] != pair[1]), min(len(old), len(new))
    )
    lines = [text[number].strip() if number < len(text) else "(end)" for text in (old, new)]
    return f"line {number + 1} is {lines[0]} but should be {lines[1]}"


def _write(wanted: dict[str, str], folder: Path) -> None:
    for name, text in wanted.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
