"""Spans in the JSON form of OTLP: ids as hexadecimal digits, times of 64 bits as texts, kinds counted from one."""

import httpx
import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from infra.otlp_json import OtlpJsonExporter, document


def test_a_span_and_its_parent_are_written_as_the_protocol_says() -> None:
    kept = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource({"service.name": "rollbook-api"}))
    provider.add_span_processor(SimpleSpanProcessor(kept))
    tracer = provider.get_tracer("test")
    attributes: dict[str, str | int | float | bool] = {"text": "a", "whole": 3, "part": 0.5, "flag": True}
    with tracer.start_as_current_span("outer"), tracer.start_as_current_span("inner", kind=SpanKind.SERVER) as inner:
        inner.set_attributes(attributes)
        inner.set_status(StatusCode.ERROR)
    child, parent = kept.get_finished_spans()

    (resource,) = document([child, parent])["resourceSpans"]
    written, above = resource["scopeSpans"][0]["spans"]

    assert resource["resource"]["attributes"] == [{"key": "service.name", "value": {"stringValue": "rollbook-api"}}]
    assert (len(written["traceId"]), len(written["spanId"])) == (32, 16)
    assert written["traceId"] == above["traceId"]
    assert written["parentSpanId"] == above["spanId"]
    assert "parentSpanId" not in above
    assert (written["name"], written["kind"], written["status"]["code"]) == ("inner", 2, 2)
    assert written["startTimeUnixNano"] == str(child.start_time)
    assert {one["key"]: one["value"] for one in written["attributes"]} == {
        "text": {"stringValue": "a"},
        "whole": {"intValue": "3"},
        "part": {"doubleValue": 0.5},
        "flag": {"boolValue": True},
    }


def test_a_collector_that_refuses_costs_spans_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_self: httpx.Client, url: str, **_: object) -> httpx.Response:
        return httpx.Response(503, request=httpx.Request("POST", url))

    monkeypatch.setattr(httpx.Client, "post", refuse)
    exporter = OtlpJsonExporter("http://127.0.0.1:4318/")

    assert exporter.export([]).name == "FAILURE"
    assert exporter.force_flush()
    exporter.shutdown()
