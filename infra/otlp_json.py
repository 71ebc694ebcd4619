"""Sends spans by OTLP over HTTP in its JSON form (OpenTelemetry Protocol 1.x, "JSON Protobuf Encoding").

The SDK's own exporter needs `opentelemetry-proto`, whose files `xds-protos` brings too, in an older form: which of the
two an installation ends up with is a matter of luck. JSON needs neither.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import httpx

_TIMEOUT_S = 5.0
_KIND_OFFSET = 1
"""The protocol counts kinds of spans from one, the SDK from zero."""


class OtlpJsonExporter:
    """Implements the SDK's SpanExporter. Spans that the collector does not take are lost."""

    def __init__(self, endpoint: str) -> None:
        self._url = f"{endpoint.rstrip('/')}/v1/traces"
        self._client = httpx.Client(timeout=_TIMEOUT_S)

    def export(self, spans: Sequence[Any]) -> Any:  # noqa: ANN401 - an enumeration of the optional SDK
        from opentelemetry.sdk.trace.export import SpanExportResult  # noqa: PLC0415 - an extra

        try:
            self._client.post(self._url, json=document(spans)).raise_for_status()
        except httpx.HTTPError:
            return SpanExportResult.FAILURE
        return SpanExportResult.SUCCESS

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002 - nothing waits here
        return True

    def shutdown(self) -> None:
        self._client.close()


def document(spans: Sequence[Any]) -> dict[str, Any]:
    """Write spans of one process as an ExportTraceServiceRequest."""
    resource = {"attributes": _attributes(spans[0].resource.attributes)} if spans else {}
    scope = {"scope": {"name": "rollbook"}, "spans": [_span(span) for span in spans]}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [scope]}]}


def _span(span: Any) -> dict[str, Any]:  # noqa: ANN401 - a class of the optional SDK
    parent = {"parentSpanId": f"{span.parent.span_id:016x}"} if span.parent else {}
    return {
        "traceId": f"{span.context.trace_id:032x}",
        "spanId": f"{span.context.span_id:016x}",
        **parent,
        "name": span.name,
        "kind": span.kind.value + _KIND_OFFSET,
        # Numbers of 64 bits are texts in this form.
        "startTimeUnixNano": str(span.start_time),
        "endTimeUnixNano": str(span.end_time),
        "attributes": _attributes(span.attributes or {}),
        "status": {"code": span.status.status_code.value},
    }


def _attributes(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"key": name, "value": _value(value)} for name, value in values.items()]


def _value(value: object) -> dict[str, Any]:
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value}
        case _:
            return {"stringValue": str(value)}
