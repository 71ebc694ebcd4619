"""Settings of the drift watch."""

from pathlib import Path
from typing import Annotated

import msgspec

from infra.program_settings import ServiceSettings

PREFIX = "ROLLBOOK_DRIFT_"


class DriftWatchSettings(ServiceSettings, frozen=True, kw_only=True):
    """Settings of the drift watch."""

    ready_file: Annotated[Path, msgspec.Meta(description="created when the watch follows the log, removed at start")]
    interval_ms: Annotated[
        int, msgspec.Meta(ge=10, description="time between two rounds; a monitor is looked at once a window")
    ] = 2_000
