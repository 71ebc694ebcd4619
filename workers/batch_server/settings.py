"""Settings of the batch server."""

from pathlib import Path
from typing import Annotated

import msgspec

from infra.metrics import MetricsPort

PREFIX = "ROLLBOOK_BATCHES_"
_MIB = 1024**2


class BatchesSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of the batch server."""

    data_dir: Annotated[
        Path, msgspec.Meta(description="the stack's data directory; files and batches are stored below it")
    ]
    api_url: Annotated[str, msgspec.Meta(description="address of the control plane's API")]
    gateway_url: Annotated[str, msgspec.Meta(description="address of the gateway that requests are sent to")]
    token_file: Annotated[Path, msgspec.Meta(description="file with the token of a service of this program's duty")]
    ready_file: Annotated[Path, msgspec.Meta(description="created once requests are answered, removed at start")]
    max_file_bytes: Annotated[int, msgspec.Meta(ge=1, description="the largest accepted file")] = 200 * _MIB
    max_stored_bytes: Annotated[int, msgspec.Meta(ge=1, description="total size of one owner's files")] = (
        20 * 1024 * _MIB
    )
    max_requests: Annotated[int, msgspec.Meta(ge=1, description="maximum lines per file")] = 50_000
    max_line_bytes: Annotated[int, msgspec.Meta(ge=1_024, description="maximum length of a line")] = 8 * _MIB
    max_open_batches: Annotated[int, msgspec.Meta(ge=1, description="concurrent unfinished batches")] = 200
    requests_at_once: Annotated[
        int, msgspec.Meta(ge=1, le=1_024, description="requests in progress, of all batches")
    ] = 16
    request_seconds: Annotated[float, msgspec.Meta(gt=0, description="time limit of one request")] = 600.0
    retention_days: Annotated[
        int, msgspec.Meta(ge=1, description="time after which files and finished batches are deleted")
    ] = 30
    look_ms: Annotated[
        int, msgspec.Meta(ge=50, description="time between two checks whether a batch was cancelled")
    ] = 2_000
    metrics_port: MetricsPort = None
