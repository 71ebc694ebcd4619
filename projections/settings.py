"""Settings of the program `projections`; variables start with ROLLBOOK_PROJECTIONS_."""

from pathlib import Path
from typing import Annotated

import msgspec

from infra.program_settings import KafkaProgramSettings

PREFIX = "ROLLBOOK_PROJECTIONS_"


class ProjectionsSettings(KafkaProgramSettings, frozen=True, kw_only=True):
    """What the read side's consumer needs to run."""

    data_dir: Annotated[Path, msgspec.Meta(description="directory for its own files")]
    clickhouse_url: Annotated[str, msgspec.Meta(description="http://[user:password@]host:port of ClickHouse")]
    ready_file: Annotated[Path, msgspec.Meta(description="file that exists while it consumes")]
    flush_ms: Annotated[
        int,
        msgspec.Meta(ge=10, le=5_000, description="how long events and request batches are collected for one insert"),
    ] = 150
    spread_flush_ms: Annotated[
        int,
        msgspec.Meta(
            ge=10,
            le=5_000,
            description="the same for feedback and observations, which are spread over all partitions",
        ),
    ] = 500
    watchdog_s: Annotated[
        int, msgspec.Meta(ge=5, description="seconds without progress while messages wait, after which it exits")
    ] = 60
