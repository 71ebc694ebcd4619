"""Settings of the batch server."""

from pathlib import Path
from typing import Annotated

import msgspec

from infra.metrics import MetricsPort

PREFIX = "ROLLBOOK_BATCHES_"
_MIB = 1024**2


class BatchesSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the batch server has to be told."""

    data_dir: Annotated[Path, msgspec.Meta(description="the stack's data directory; files and batches are below it")]
    api_url: Annotated[str, msgspec.Meta(description="address of the control plane's API")]
    gateway_url: Annotated[str, msgspec.Meta(description="address of the gateway that requests are sent to")]
    token_file: Annotated[Path, msgspec.Meta(description="file with a token of role service")]
    ready_file: Annotated[Path, msgspec.Meta(description="made once requests are answered, removed at its start")]
    max_file_bytes: Annotated[int, msgspec.Meta(ge=1, description="the largest file that is taken")] = 200 * _MIB
    max_stored_bytes: Annotated[int, msgspec.Meta(ge=1, description="what one owner's files may hold together")] = (
        20 * 1024 * _MIB
    )
    max_requests: Annotated[int, msgspec.Meta(ge=1, description="lines that a file may have")] = 50_000
    max_line_bytes: Annotated[int, msgspec.Meta(ge=1_024, description="the longest line of a file")] = 8 * _MIB
    max_open_batches: Annotated[int, msgspec.Meta(ge=1, description="batches that may be unfinished at a time")] = 200
    requests_at_once: Annotated[int, msgspec.Meta(ge=1, le=1_024, description="requests under way, of all batches")] = (
        16
    )
    request_seconds: Annotated[float, msgspec.Meta(gt=0, description="how long one request may take")] = 600.0
    retention_days: Annotated[
        int, msgspec.Meta(ge=1, description="after which files, and batches that have ended, are deleted")
    ] = 30
    look_ms: Annotated[int, msgspec.Meta(ge=50, description="time between two looks whether a batch was cancelled")] = (
        2_000
    )
    metrics_port: MetricsPort = None
