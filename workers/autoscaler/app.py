"""The program `autoscaler`: follows documents for what to watch, and measures it."""

import asyncio
import os
import time
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
from workers.autoscaler.autoscaler import Autoscaler, Sources
from workers.autoscaler.control_plane import ControlPlane
from workers.autoscaler.engine_load import Engines
from workers.autoscaler.gateway_load import Gateways
from workers.autoscaler.recording import Recording
from workers.autoscaler.settings import PREFIX, AutoscalerSettings

_RETRY_S = 1.0


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
        recording=Recording(settings.data_dir / "autoscaler", max_bytes=settings.record_bytes),
    )
    background = Background()
    works: Mapping[str, AsyncWork] = {
        "autoscaler-follows-documents": lambda: _keep_following(autoscaler, settings),
        "autoscaler-looks": lambda: _keep_looking(autoscaler, settings),
    }
    try:
        with _metrics(autoscaler, background).served(settings.metrics_port, host=LOOPBACK):
            async with background.running(works):
                await stopping.wait()
    finally:
        for connections in (plane, gateways, engines):
            await connections.close()
        settings.ready_file.unlink(missing_ok=True)


def _metrics(autoscaler: Autoscaler, background: Background) -> Metrics:
    metrics = Metrics()
    background.show_in(metrics)
    metrics.gauge("rollbook_autoscaler_deployments", "Deployments under a policy.", lambda: autoscaler.watched)
    metrics.counter("rollbook_autoscaler_looks", "Measurements of a deployment.", lambda: autoscaler.looks)
    metrics.counter(
        "rollbook_autoscaler_changes", "Measurements that changed the number of replicas.", lambda: autoscaler.changes
    )
    metrics.counter(
        "rollbook_autoscaler_failures",
        "Measurements that were incomplete or could not be reported.",
        lambda: autoscaler.failures,
    )
    return metrics


async def _keep_following(autoscaler: Autoscaler, settings: AutoscalerSettings) -> None:
    async with aclosing(keep_reading(settings.kafka, client_id="autoscaler", retry_s=_RETRY_S)) as documents:
        await autoscaler.follow(documents, on_ready=settings.ready_file.touch)


async def _keep_looking(autoscaler: Autoscaler, settings: AutoscalerSettings) -> None:
    interval_s = settings.interval_ms / 1_000
    while True:
        began = time.monotonic()
        await autoscaler.look_at_all()
        await asyncio.sleep(max(0.0, interval_s - (time.monotonic() - began)))
