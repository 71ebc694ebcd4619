"""Settings of the program `projections`; variables start with ROLLBOOK_PROJECTIONS_."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec

from infra.program_settings import KafkaProgramSettings
from projections.tables import Table
from projections.views import TABLES

PREFIX = "ROLLBOOK_PROJECTIONS_"
_MAX_DAYS = 3_650


def _days_of(table: Table) -> tuple[str, object, int]:
    assert table.retention is not None
    meta = msgspec.Meta(ge=1, le=_MAX_DAYS, description=f"days that rows of `{table.name}` are kept")
    return table.name, Annotated[int, meta], table.retention.days


if TYPE_CHECKING:

    class RetentionDays(msgspec.Struct, frozen=True, kw_only=True):
        """For how many days each table keeps its rows: a field for each that has one number for all of them."""

else:
    RetentionDays = msgspec.defstruct(
        "RetentionDays",
        [_days_of(table) for table in TABLES if table.has_retention_setting],
        frozen=True,
        kw_only=True,
    )


class ProjectionsSettings(KafkaProgramSettings, frozen=True, kw_only=True):
    """What the read side's consumer needs to run."""

    data_dir: Annotated[Path, msgspec.Meta(description="directory for its own files")]
    clickhouse_url: Annotated[str, msgspec.Meta(description="http://[user:password@]host:port of ClickHouse")]
    ready_file: Annotated[Path, msgspec.Meta(description="file that exists while it consumes")]
    flush_ms: Annotated[
        int, msgspec.Meta(ge=10, le=5_000, description="how long events are collected for one insert")
    ] = 150
    request_flush_ms: Annotated[
        int,
        msgspec.Meta(
            ge=10,
            le=5_000,
            description="the same for request records, of which each gateway sends a batch every 150 ms",
        ),
    ] = 500
    spread_flush_ms: Annotated[
        int,
        msgspec.Meta(
            ge=10,
            le=5_000,
            description="the same for feedback and observations, which are spread over all partitions",
        ),
    ] = 1_000
    watchdog_s: Annotated[
        int, msgspec.Meta(ge=5, description="seconds without progress while messages wait, after which it exits")
    ] = 60
    rollup_ms: Annotated[
        int, msgspec.Meta(ge=100, le=600_000, description="how often what has arrived is rolled up")
    ] = 5_000
    retention_days: RetentionDays = msgspec.field(default_factory=RetentionDays)
