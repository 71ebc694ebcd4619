"""The settings of the program `api`."""

from pathlib import Path
from typing import Annotated

import msgspec

from infra.program_settings import KafkaProgramSettings
from infra.stack.addresses import LOOPBACK
from infra.tracing import OtlpEndpoint

PREFIX = "ROLLBOOK_API_"


class ApiSettings(KafkaProgramSettings, frozen=True, kw_only=True):
    """What the API needs to know."""

    host: Annotated[str, msgspec.Meta(description="the address to listen on")] = LOOPBACK
    port: Annotated[int, msgspec.Meta(ge=1, le=65_535, description="the port to listen on")]
    data_dir: Annotated[Path, msgspec.Meta(description="the folder for all state")]
    clickhouse_url: Annotated[str, msgspec.Meta(description="http://user:password@host:port/database")]
    relay_nudge_socket: Annotated[
        Path | None, msgspec.Meta(description="socket where the relay listens for nudges")
    ] = None
    gateway_url: Annotated[str, msgspec.Meta(description="the address that model callers use")] = ""
    workspace: Annotated[
        str, msgspec.Meta(description="the home workspace, from which the installation is administered")
    ] = "default"
    max_body_bytes: Annotated[int, msgspec.Meta(ge=1_024, description="the largest accepted JSON body")] = 1_048_576
    max_artifact_bytes: Annotated[int, msgspec.Meta(ge=1, description="the largest accepted artifact")] = 20 * 1024**3
    artifact_quota_bytes: Annotated[
        int, msgspec.Meta(ge=0, description="bytes of artifacts that one workspace may keep; 0: no limit")
    ] = 0
    uploads_at_once: Annotated[
        int, msgspec.Meta(ge=1, le=1_024, description="artifacts that arrive at the same time; further ones get 429")
    ] = 32
    uploads_at_once_each: Annotated[
        int, msgspec.Meta(ge=1, le=1_024, description="artifacts of one workspace that arrive at the same time")
    ] = 8
    requests_per_second_each: Annotated[
        int,
        msgspec.Meta(
            ge=0,
            le=1_000_000,
            description="sustained requests per second of one principal, or of one address without a token; further "
            "ones are rejected (429); 0: no limit; services of the home workspace have none",
        ),
    ] = 100
    requests_burst_each: Annotated[
        int, msgspec.Meta(ge=1, le=1_000_000, description="requests of one caller that may come at once")
    ] = 500
    sql_at_once: Annotated[
        int, msgspec.Meta(ge=1, le=16, description="concurrent SQL statements of users; fewer than ClickHouse allows")
    ] = 2
    sql_at_once_each: Annotated[
        int, msgspec.Meta(ge=1, le=16, description="concurrent SQL statements of one principal")
    ] = 1
    sql_waiting_each: Annotated[
        int,
        msgspec.Meta(
            ge=0, le=32, description="waiting SQL statements of one principal; further ones are rejected (429)"
        ),
    ] = 4
    sql_wait_seconds: Annotated[
        int,
        msgspec.Meta(
            ge=1, le=600, description="the longest wait for a turn; must exceed the time limit of a statement"
        ),
    ] = 15
    sql_seconds: Annotated[int, msgspec.Meta(ge=1, le=600, description="time limit of one statement")] = 10
    accept_lost_keys: Annotated[
        bool,
        msgspec.Meta(
            description="start without keys that the log needs: what they sealed cannot be opened, and those that sign "
            "are made again or have to be rotated"
        ),
    ] = False
    otlp_endpoint: OtlpEndpoint = None
