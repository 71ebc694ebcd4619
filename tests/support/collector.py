"""A collector of OpenTelemetry: takes OTLP over HTTP as real ones do, in both its forms, and keeps the spans."""

import asyncio
import json
from typing import Any, Self

import msgspec
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2


class Span(msgspec.Struct, frozen=True, kw_only=True):
    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    attributes: dict[str, str]


class Collector:
    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.url = ""
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server
        self._server.close()
        for writer in self._writers:
            writer.close()
            await writer.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower():
                body = await _body(reader, head)
                assert "/v1/traces" in head
                self.spans += _spans_of_json(body) if "application/json" in head else _spans(body)
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def _spans(body: bytes) -> list[Span]:
    messages: Any = trace_service_pb2
    request = messages.ExportTraceServiceRequest.FromString(body)
    return [
        Span(
            service={one.key: one.value.string_value for one in resource.resource.attributes}["service.name"],
            name=span.name,
            trace_id=span.trace_id.hex(),
            span_id=span.span_id.hex(),
            parent_id=span.parent_span_id.hex(),
            attributes={one.key: one.value.string_value for one in span.attributes},
        )
        for resource in request.resource_spans
        # The messages are those of xds-protos, where the field of this number has its earlier name.
        for scope in resource.instrumentation_library_spans
        for span in scope.spans
    ]


def _spans_of_json(body: bytes) -> list[Span]:
    def texts(attributes: list[dict[str, Any]]) -> dict[str, str]:
        return {one["key"]: str(next(iter(one["value"].values()))) for one in attributes}

    return [
        Span(
            service=texts(resource["resource"]["attributes"])["service.name"],
            name=span["name"],
            trace_id=span["traceId"],
            span_id=span["spanId"],
            parent_id=span.get("parentSpanId", ""),
            attributes=texts(span["attributes"]),
        )
        for resource in json.loads(body)["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]


async def _body(reader: asyncio.StreamReader, head: str) -> bytes:
    if "transfer-encoding: chunked" not in head:
        return await reader.readexactly(int(head.partition("content-length: ")[2].split("\r\n")[0]))
    body = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readexactly(2)
    return body
