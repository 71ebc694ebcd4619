"""Settings of the judge."""

from pathlib import Path
from typing import Annotated

import msgspec

from infra.program_settings import ServiceSettings

PREFIX = "ROLLBOOK_JUDGE_"


class JudgeSettings(ServiceSettings, frozen=True, kw_only=True):
    """Settings of the judge."""

    ready_file: Annotated[Path, msgspec.Meta(description="created when the judge follows the log, removed at start")]
    interval_ms: Annotated[
        int, msgspec.Meta(ge=10, description="time between two measurements of an active rollout")
    ] = 500
