"""The program `drift`: follows documents, and looks at each monitor whenever a window of it is complete."""

import asyncio
import os
from collections.abc import Mapping
from contextlib import aclosing

from infra.arguments import take_no_arguments
from infra.background import AsyncWork, Background
from infra.clock import SystemClock
from infra.kafka.serving_state import keep_reading
from infra.metrics import Metrics
from infra.settings import load_settings
from infra.shutdown import run_program
from infra.stack.addresses import LOOPBACK
from workers.drift_watch.control_plane import ControlPlane
from workers.drift_watch.program_settings import PREFIX, DriftWatchSettings
from workers.drift_watch.watcher import WORK, Watcher

_RETRY_S = 1.0


def main(argv: list[str] | None = None) -> int:
    """Run the drift watch."""
    take_no_arguments("drift", "Measure the windows of monitors against their references.", argv)
    return run_program("drift", _run)


async def _run(stopping: asyncio.Event) -> None:
    settings = load_settings(DriftWatchSettings, PREFIX, os.environ)
    settings.ready_file.unlink(missing_ok=True)
    plane = ControlPlane(settings.api_url, token_file=settings.token_file)
    background = Background()
    watcher = Watcher(plane, clock=SystemClock(), background=background)
    works: Mapping[str, AsyncWork] = {
        "drift-follows-documents": lambda: _keep_following(watcher, settings),
        WORK: lambda: _keep_looking(watcher, interval_s=settings.interval_ms / 1_000),
    }
    try:
        with _metrics(watcher, background).served(settings.metrics_port, host=LOOPBACK):
            async with background.running(works):
                await stopping.wait()
    finally:
        await plane.close()
        settings.ready_file.unlink(missing_ok=True)


def _metrics(watcher: Watcher, background: Background) -> Metrics:
    metrics = Metrics()
    background.show_in(metrics)
    metrics.gauge("rollbook_drift_position", "Its position in the log.", lambda: watcher.position)
    metrics.gauge("rollbook_drift_monitors", "Monitors, paused ones too.", lambda: len(watcher.monitors))
    metrics.counter("rollbook_drift_looks", "Looks at a monitor.", lambda: watcher.looks)
    metrics.counter("rollbook_drift_failed_looks", "Looks that failed.", lambda: watcher.failed_looks)
    return metrics


async def _keep_following(watcher: Watcher, settings: DriftWatchSettings) -> None:
    async with aclosing(keep_reading(settings.kafka, client_id="drift-watch", retry_s=_RETRY_S)) as documents:
        await watcher.follow(documents, on_ready=settings.ready_file.touch)


async def _keep_looking(watcher: Watcher, *, interval_s: float) -> None:
    while True:
        await watcher.look_at_all()
        await asyncio.sleep(interval_s)
