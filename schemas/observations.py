"""High-rate facts of the data plane: the columns of the batches, the headers beside them, and feedback."""

from typing import Literal, TypeAlias

import msgspec

ColumnType: TypeAlias = Literal["string", "int64", "int32", "int16", "float64"]

REQUEST_COLUMNS: dict[str, ColumnType] = {
    "prediction_id": "string",
    "workspace": "string",
    "endpoint_id": "string",
    "endpoint": "string",
    "deployment_id": "string",
    "version_id": "string",
    "version": "string",
    "epoch": "int64",
    "role": "string",
    "region": "string",
    "instance": "string",
    "status": "int16",
    "response_flags": "string",
    "attempts": "int16",
    "started_at_ms": "int64",
    "ended_at_ms": "int64",
    "duration_ms": "float64",
    "upstream_ms": "float64",
    "request_bytes": "int64",
    "response_bytes": "int64",
    "gateway_id": "string",
    "file_number": "int32",
    "byte_offset": "int64",
    "trace_id": "string",
    "drawn_deployment_id": "string",
    "instance_region": "string",
    "kind": "string",
}
"""Identity of a row: (gateway_id, file_number, byte_offset). Unknown text is "", unknown numbers are -1.

`response_flags` are Envoy's, with commas between, or `hold-full` and `hold-timeout` of a waiting room.
`deployment_id`, `version` and `instance` are those that answered, in `instance_region`; `drawn_deployment_id` is the
one that the split named. They differ where a backup answered. `kind` is what was asked for: `prediction`, `metadata`,
`health` or `other`."""

OBSERVATION_COLUMNS: dict[str, ColumnType] = {
    "prediction_id": "string",
    "workspace": "string",
    "endpoint_id": "string",
    "deployment_id": "string",
    "version_id": "string",
    "instance_id": "string",
    "captured_at_ms": "int64",
    "status": "int16",
    "inputs": "string",
    "outputs": "string",
    "prediction": "string",
    "engine_ms": "float64",
    "boot_id": "string",
    "batch": "int64",
    "row": "int32",
    "policy_version": "int64",
    "retention_days": "int32",
    "tokens_in": "int64",
    "tokens_out": "int64",
    "first_token_ms": "float64",
    "token_ms": "float64",
    "finish_reason": "string",
    "prediction_datatype": "string",
    "prediction_class": "string",
}
"""Identity of a row: (boot_id, batch, row). `inputs` and `outputs` are JSON; `prediction` is the first output's first
value as text, the one that feedback is compared with as a value of `prediction_datatype` (a data type of the Open
Inference Protocol), or by what is in `prediction_class`: the name of the class whose index it is, or the index of the
class that it names. `policy_version` is the stream version of the event that set the endpoint's capture policy, 0 for
the default. The five from `tokens_in` on are of language models."""

TELEMETRY_COLUMNS: dict[str, ColumnType] = {
    "workspace": "string",
    "endpoint_id": "string",
    "deployment_id": "string",
    "subject": "string",
    "subject_id": "string",
    "boot_id": "string",
    "region": "string",
    "sampled_at_ms": "int64",
    "measure": "string",
    "value": "float64",
    "source_id": "string",
    "batch": "int64",
    "row": "int32",
}
"""Identity of a row: (source_id, batch, row). What was not measured has no row.

`subject` is instance, host or gateway, and `boot_id` the process in it: counters begin again with each. Instances alone
belong to a workspace, an endpoint and a deployment.
"""

SUBJECTS = ("instance", "host", "gateway")

GAUGES: dict[str, str] = {
    "cpu_percent": "processor time of one core",
    "memory_bytes": "memory held; of a host, all that is in use",
    "memory_limit_bytes": "memory that a host has",
    "gpu_percent": "time that a GPU was busy; the mean of several",
    "gpu_memory_bytes": "memory held on GPUs",
    "disk_free_bytes": "free space on the data directory's disk",
    "spool_bytes": "captured predictions on disk waiting to be shipped",
    "in_flight": "requests in progress",
    "queue_depth": "requests waiting for the engine",
    "model_memory_bytes": "measured memory of the loaded models",
    "kv_cache_fraction": "share of an engine's key-value cache in use",
    "connections": "connections of callers",
}
COUNTERS: dict[str, str] = {
    "requests_total": "requests answered successfully",
    "refused_total": "requests refused or failed by the engine",
    "rows_total": "rows processed by the engine",
    "calls_total": "calls of the engine; rows by calls is the batch size",
    "engine_seconds_total": "time that the engine was busy",
    "queue_seconds_total": "time that requests spent waiting",
    "prompt_tokens_total": "tokens read",
    "generated_tokens_total": "tokens written",
    "retries_total": "retries by a gateway",
    "sent_once_total": "requests whose bodies were too large to retry or mirror",
    "refused_connections_total": "connections above the gateway's limit",
}
"""Measures of telemetry. A counter grows from the start of the process in `boot_id`."""

COLUMNS_ADDED_LATER: dict[str, str | int | float] = {
    "trace_id": "",
    "drawn_deployment_id": "",
    "instance_region": "",
    "kind": "",
    "policy_version": 0,
    "retention_days": 7,
    "tokens_in": -1,
    "tokens_out": -1,
    "first_token_ms": -1.0,
    "token_ms": -1.0,
    "finish_reason": "",
    "prediction_datatype": "",
    "prediction_class": "",
}
"""What readers take for a column that an older shipper did not know."""

ROLES = ("primary", "shadow", "probe")

SourceKind: TypeAlias = Literal["requests", "observations", "telemetry"]


class BatchHeaders(msgspec.Struct, frozen=True, kw_only=True):
    """The Kafka headers of a batch, each as UTF-8 text under the field's own name.

    A source is one boot of one shipper or engine. `log_id` names what it reads: the log of a gateway, or the spools of
    an agent. Sources that read on from the same disk have it in common; batches of earlier releases have none.
    `batch` counts from 0 without gaps, empty batches included.
    Every row that ended before `closed_until_ms` (Unix ms) is in this batch or an earlier one of the source.
    `state` is `open`, or `closing` in the source's last batch. `seen` counts the predictions of the source until
    `closed_until_ms`, `unsampled` those that the capture policy's sampling left out; what is neither among them nor a
    row was lost.
    """

    source: str
    kind: SourceKind
    region: str
    batch: int
    rows: int
    closed_until_ms: int
    state: Literal["open", "closing"]
    seen: int = 0
    unsampled: int = 0
    log_id: str = ""

    def as_kafka(self) -> list[tuple[str, bytes]]:
        """Return the headers as aiokafka takes them."""
        return [(name, str(value).encode()) for name, value in msgspec.structs.asdict(self).items()]


def batch_headers(headers: list[tuple[str, bytes]]) -> BatchHeaders:
    """Read the headers of a batch.

    Raises:
        msgspec.ValidationError: a header is missing or of the wrong type.
    """
    return msgspec.convert({name: value.decode() for name, value in headers}, BatchHeaders, strict=False)


WORD = r"^[A-Za-z0-9][A-Za-z0-9._-]*\Z"
"""What feedback and its source may be called."""
MAX_WORD = 64


class Feedback(msgspec.Struct, frozen=True, kw_only=True):
    """What became known of a prediction later. Key: (prediction_id, source, name); the last one in the log wins."""

    workspace: str
    prediction_id: str
    source: str
    name: str
    value: str
    observed_at_ms: int
    received_at_ms: int
