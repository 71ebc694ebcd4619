"""The settings that every engine process of ours gets from the agent, whatever it serves."""

from pathlib import Path
from typing import Annotated

import msgspec

from infra.stack.addresses import LOOPBACK


class InstanceSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Which instance this is, what it serves, and where it keeps what it captures."""

    host: Annotated[str, msgspec.Meta(description="address to listen on")] = LOOPBACK
    port: Annotated[int, msgspec.Meta(ge=1, le=65_535, description="port to listen on")]
    model_dir: Annotated[Path, msgspec.Meta(description="directory with the version's verified files and its manifest")]
    spool_dir: Annotated[Path, msgspec.Meta(description="directory for captured predictions, one per boot")]
    spool_max_bytes: Annotated[int, msgspec.Meta(ge=1_024**2, description="space for captured predictions")] = (
        256 * 1024**2
    )
    capture_file: Annotated[Path, msgspec.Meta(description="file with the capture policy, reread while it runs")]
    boot_id: Annotated[str, msgspec.Meta(description="id of this boot of the engine")]
    instance_id: Annotated[str, msgspec.Meta(description="id of the instance")]
    watch_pid: Annotated[int, msgspec.Meta(ge=0, description="exit when this process ends; 0: none")] = 0
    drain_seconds: Annotated[
        float, msgspec.Meta(gt=0, description="time for requests in progress to finish at shutdown")
    ] = 10.0
