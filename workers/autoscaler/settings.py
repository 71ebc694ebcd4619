"""Settings of the autoscaler."""

from pathlib import Path
from typing import Annotated

import msgspec

from infra.program_settings import ServiceSettings

PREFIX = "ROLLBOOK_AUTOSCALER_"


class AutoscalerSettings(ServiceSettings, frozen=True, kw_only=True):
    """Settings of the autoscaler."""

    data_dir: Annotated[
        Path, msgspec.Meta(description="the stack's data directory; measurements are recorded below it")
    ]
    envoy_admin_urls: Annotated[str, msgspec.Meta(description="comma-separated admin pages of all gateways")]
    ready_file: Annotated[Path, msgspec.Meta(description="created once all documents are read, removed at start")]
    interval_ms: Annotated[int, msgspec.Meta(ge=100, description="time between two measurements")] = 1_000
    record_bytes: Annotated[
        int, msgspec.Meta(ge=0, description="size of the measurements kept for replays; 0: none")
    ] = 268_435_456

    @property
    def gateways(self) -> tuple[str, ...]:
        """The admin pages."""
        return tuple(url.strip().rstrip("/") for url in self.envoy_admin_urls.split(",") if url.strip())
