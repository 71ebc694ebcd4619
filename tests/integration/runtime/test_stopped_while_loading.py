"""An instance that is to stop before its model is loaded stops at once, whatever the load still does."""

import asyncio
import os
from pathlib import Path

import msgspec

from infra.ports import free_port
from infra.settings import load_settings
from serving.runtime.app import PREFIX, RuntimeSettings, serve_instance
from serving.runtime.manifest import ARTIFACT_NAME
from tests.support.engine_process import settings_of, write_model


async def test_an_instance_that_is_still_loading_stops_at_once(tmp_path: Path) -> None:
    write_model(tmp_path / "model", artifact_format="skops")
    artifact = tmp_path / "model" / ARTIFACT_NAME
    artifact.unlink()
    # Whoever opens it to read waits until somebody opens it to write.
    os.mkfifo(artifact)
    settings = load_settings(RuntimeSettings, PREFIX, _own(settings_of(tmp_path, port=free_port())))
    stopping = asyncio.Event()
    serving = asyncio.create_task(serve_instance(msgspec.structs.replace(settings, drain_seconds=1), stopping))
    try:
        async with asyncio.timeout(60):
            while not (tmp_path / "spool").exists():
                await asyncio.sleep(0.01)
            stopping.set()
            await serving
    finally:
        # The thread of the load can go on now, to its failure.
        os.close(os.open(artifact, os.O_RDWR))


def _own(environ: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if name.startswith(PREFIX)}
