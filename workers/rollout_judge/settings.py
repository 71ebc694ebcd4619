"""Settings of the judge."""

from pathlib import Path
from typing import Annotated

import msgspec

from infra.kafka.connection import KafkaConnection
from infra.metrics import MetricsPort

PREFIX = "ROLLBOOK_JUDGE_"


class JudgeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of the judge."""

    api_url: Annotated[str, msgspec.Meta(description="address of the control plane's API")]
    token_file: Annotated[Path, msgspec.Meta(description="file with a token of the role service")]
    kafka: KafkaConnection
    ready_file: Annotated[Path, msgspec.Meta(description="created when the judge follows the log, removed at start")]
    interval_ms: Annotated[
        int, msgspec.Meta(ge=10, description="time between two measurements of an active rollout")
    ] = 500
    metrics_port: MetricsPort = None
