"""The program `autoscaler`: follows the log for what to watch, and measures it."""

import asyncio
import os
import time
from contextlib import suppress

import structlog

from infra.arguments import take_no_arguments
from infra.clock import SystemClock
from infra.errors import LogAwayError
from infra.kafka.registry_log import RegistryLog
from infra.metrics import Metrics
from infra.settings import load_settings
from infra.shutdown import run_program
from workers.autoscaler.autoscaler import Autoscaler, Sources
from workers.autoscaler.control_plane import ControlPlane
from workers.autoscaler.engine_load import Engines
from workers.autoscaler.gateway_load import Gateways
from workers.autoscaler.recording import Recording
from workers.autoscaler.settings import PREFIX, AutoscalerSettings

_RETRY_S = 1.0
_log = structlog.get_logger(__name__)


def main(argv: list[str] | None = None) -> int:
    """Run the autoscaler."""
    take_no_arguments("autoscaler", "Measure the load of deployments under a scaling policy.", argv)
    return run_program("autoscaler", _run)


async def _run(stopping: asyncio.Event) -> None:
    settings = load_settings(AutoscalerSettings, PREFIX, os.environ)
    settings.ready_file.unlink(missing_ok=True)
    plane = ControlPlane(settings.api_url, token_file=settings.token_file)
    gateways, engines = Gateways(settings.gateways), Engines()
    autoscaler = Autoscaler(
        plane,
        Sources(gateways=gateways, engines=engines),
        clock=SystemClock(),
        recording=Recording(settings.data_dir / "autoscaler", most_bytes=settings.record_bytes),
    )
    try:
        with _metrics(autoscaler).served(settings.metrics_port):
            await _scale_until(stopping, autoscaler, settings)
    finally:
        for connections in (plane, gateways, engines):
            await connections.close()
        settings.ready_file.unlink(missing_ok=True)


def _metrics(autoscaler: Autoscaler) -> Metrics:
    metrics = Metrics()
    metrics.gauge("rollbook_autoscaler_deployments", "Deployments under a policy.", lambda: autoscaler.watched)
    metrics.counter("rollbook_autoscaler_looks", "Looks at a deployment.", lambda: autoscaler.looks)
    metrics.counter("rollbook_autoscaler_changes", "Looks that changed replicas.", lambda: autoscaler.changes)
    metrics.counter(
        "rollbook_autoscaler_failures", "Looks that were incomplete or could not be told.", lambda: autoscaler.failures
    )
    return metrics


async def _scale_until(stopping: asyncio.Event, autoscaler: Autoscaler, settings: AutoscalerSettings) -> None:
    tasks = [
        asyncio.create_task(_keep_following(autoscaler, settings)),
        asyncio.create_task(_keep_looking(autoscaler, settings)),
    ]
    ended = asyncio.create_task(stopping.wait())
    try:
        # Both loops go on for ever: one that is done has met a bug, and the program has to say so.
        done, _ = await asyncio.wait({*tasks, ended}, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in (*tasks, ended):
            task.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await task


async def _keep_following(autoscaler: Autoscaler, settings: AutoscalerSettings) -> None:
    """Have the snapshot read again after whatever happens to endpoints; while the log is away, each second."""
    while True:
        log = RegistryLog(settings.kafka_bootstrap, client_id="autoscaler")
        try:
            await log.mark_end()
            autoscaler.is_stale = True
            async for recorded in log.events():
                if recorded.envelope.type.startswith("endpoints."):
                    autoscaler.is_stale = True
        except LogAwayError as error:
            _log.warning("log_not_followed", error=str(error), wait_s=_RETRY_S)
        finally:
            await log.close()
        autoscaler.is_stale = True
        await asyncio.sleep(_RETRY_S)


async def _keep_looking(autoscaler: Autoscaler, settings: AutoscalerSettings) -> None:
    interval_s = settings.interval_ms / 1_000
    while True:
        began = time.monotonic()
        await autoscaler.look_at_all()
        if not autoscaler.is_stale:
            settings.ready_file.touch()
        await asyncio.sleep(max(0.0, interval_s - (time.monotonic() - began)))
