"""The settings of the program `api`."""

from pathlib import Path
from typing import Annotated

import msgspec

from infra.kafka.connection import KafkaConnection
from infra.metrics import MetricsPort
from infra.stack.addresses import LOOPBACK
from infra.tracing import OtlpEndpoint

PREFIX = "ROLLBOOK_API_"


class ApiSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the API needs to know."""

    host: Annotated[str, msgspec.Meta(description="the address to listen on")] = LOOPBACK
    port: Annotated[int, msgspec.Meta(ge=1, le=65_535, description="the port to listen on")]
    data_dir: Annotated[Path, msgspec.Meta(description="the folder of all state")]
    kafka: KafkaConnection
    clickhouse_url: Annotated[str, msgspec.Meta(description="http://user:password@host:port/database")]
    relay_nudge_socket: Annotated[Path | None, msgspec.Meta(description="where the relay listens for nudges")] = None
    gateway_url: Annotated[str, msgspec.Meta(description="the address that callers of models use")] = ""
    workspace: Annotated[str, msgspec.Meta(description="the tenant of the first principals")] = "default"
    max_body_bytes: Annotated[int, msgspec.Meta(ge=1_024, description="the largest JSON body taken")] = 1_048_576
    max_artifact_bytes: Annotated[int, msgspec.Meta(ge=1, description="the largest artifact taken")] = 20 * 1024**3
    sql_at_once: Annotated[
        int, msgspec.Meta(ge=1, le=16, description="statements of people that run at once; fewer than ClickHouse runs")
    ] = 2
    sql_at_once_each: Annotated[int, msgspec.Meta(ge=1, le=16, description="of these, the most of one principal")] = 1
    sql_waiting_each: Annotated[
        int, msgspec.Meta(ge=0, le=32, description="statements of one principal that wait; the next is refused (429)")
    ] = 4
    sql_wait_seconds: Annotated[
        int, msgspec.Meta(ge=1, le=600, description="the longest wait; longer than one statement may take")
    ] = 15
    sql_seconds: Annotated[int, msgspec.Meta(ge=1, le=600, description="after which each of them is ended")] = 10
    metrics_port: MetricsPort = None
    otlp_endpoint: OtlpEndpoint = None
