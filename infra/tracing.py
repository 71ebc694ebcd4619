"""OpenTelemetry spans for a program's HTTP requests, sent by OTLP to a collector when a setting names one.

The SDK is an extra: a program without the setting never looks for it.
"""

from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Annotated, Any, TypeAlias

import msgspec

from infra.errors import CannotStartError
from infra.otlp_json import OtlpJsonExporter

OtlpEndpoint: TypeAlias = (
    Annotated[
        str,
        msgspec.Meta(
            pattern="^https?://",
            description="URL of an OpenTelemetry collector that accepts OTLP over HTTP; unset: none",
        ),
    ]
    | None
)
Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Application: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
Wrap: TypeAlias = Callable[[Application], Application]

_SERVER_ERROR = 500


@contextmanager
def tracing(program: str, endpoint: str | None) -> Iterator[Wrap]:
    """Give what wraps an ASGI application in spans; without an endpoint it wraps nothing.

    Spans wait in a bounded queue and are sent by a thread; a collector that is away costs spans and nothing else.

    Raises:
        CannotStartError: the SDK is not installed.
    """
    if endpoint is None:
        yield lambda application: application
        return
    provider = _provider(program, endpoint)
    try:
        yield lambda application: _traced(application, provider.get_tracer("rollbook"))
    finally:
        provider.shutdown()


def _provider(program: str, endpoint: str) -> Any:  # noqa: ANN401 - a class of the optional SDK
    try:
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - an extra
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - an extra
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise CannotStartError(
            "a collector is set, but OpenTelemetry is not installed; install rollbook-server[tracing]"
        ) from error
    exporter: Any = OtlpJsonExporter(endpoint)
    provider = TracerProvider(resource=Resource.create({"service.name": f"rollbook-{program}"}), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider


def _traced(application: Application, tracer: Any) -> Application:  # noqa: ANN401 - a class of the optional SDK
    from opentelemetry.trace import SpanKind, StatusCode  # noqa: PLC0415 - an extra
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415 - an extra

    propagator = TraceContextTextMapPropagator()

    async def traced(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await application(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        status = 0

        async def send_and_observe(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        with tracer.start_as_current_span(
            scope["method"], context=propagator.extract(headers), kind=SpanKind.SERVER
        ) as span:
            span.set_attribute("url.path", scope["path"])
            if prediction_id := headers.get("x-prediction-id"):
                span.set_attribute("rollbook.prediction_id", prediction_id)
            await application(scope, receive, send_and_observe)
            route = scope.get("path_template")
            span.update_name(f"{scope['method']} {route or scope['path']}")
            span.set_attribute("http.response.status_code", status)
            if status >= _SERVER_ERROR or not status:
                span.set_status(StatusCode.ERROR)

    return traced
