"""What one caller may use of the gateway: bytes, headers, connections and time."""

from typing import Annotated

import msgspec

_Seconds = Annotated[float, msgspec.Meta(gt=0)]


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The listener's limits. `buffer_bytes` is what Envoy buffers for a connection that is not read fast enough.

    `idle_s` ends a connection without a request, `silence_s` a request without progress in either direction, and
    `receive_s` a request whose body does not end.
    """

    max_body_bytes: int = 33_554_432
    buffer_bytes: int = 1_048_576
    headers_kib: int = 60
    headers_count: int = 100
    headers_s: _Seconds = 10
    idle_s: _Seconds = 300
    silence_s: _Seconds = 300
    receive_s: _Seconds = 300
    otlp_endpoint: str | None = None
    """Where spans of requests go; without it Envoy creates none and passes the trace context through unchanged."""
