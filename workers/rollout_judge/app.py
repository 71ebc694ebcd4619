"""The judge's program: follows documents and looks at the active rollouts, whatever else is unavailable."""

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
from workers.rollout_judge.control_plane import ControlPlane
from workers.rollout_judge.judge import Judge
from workers.rollout_judge.settings import PREFIX, JudgeSettings

_RETRY_S = 1.0


def main(argv: list[str] | None = None) -> int:
    """Run the judge."""
    take_no_arguments("judge", "Measure active rollouts and track their deadlines.", argv)
    return run_program("judge", _run)


async def _run(stopping: asyncio.Event) -> None:
    settings = load_settings(JudgeSettings, PREFIX, os.environ)
    settings.ready_file.unlink(missing_ok=True)
    plane = ControlPlane(settings.api_url, token_file=settings.token_file)
    background = Background()
    judge = Judge(plane, clock=SystemClock(), background=background)
    works: Mapping[str, AsyncWork] = {
        "judge-follows-documents": lambda: _keep_following(judge, settings),
        "judge-looks": lambda: _keep_looking(judge, interval_s=settings.interval_ms / 1000),
    }
    try:
        with _metrics(judge, background).served(settings.metrics_port, host=LOOPBACK):
            async with background.running(works):
                await stopping.wait()
    finally:
        await plane.close()
        settings.ready_file.unlink(missing_ok=True)


def _metrics(judge: Judge, background: Background) -> Metrics:
    metrics = Metrics()
    background.show_in(metrics)
    metrics.gauge("rollbook_judge_position", "Its position in the log.", lambda: judge.position)
    metrics.gauge("rollbook_judge_active_rollouts", "Active rollouts.", lambda: len(judge.rollouts))
    metrics.counter("rollbook_judge_looks", "Measurements of an active rollout.", lambda: judge.looks)
    metrics.counter("rollbook_judge_failed_looks", "Measurements that failed.", lambda: judge.failed_looks)
    return metrics


async def _keep_following(judge: Judge, settings: JudgeSettings) -> None:
    async with aclosing(keep_reading(settings.kafka, client_id="rollout-judge", retry_s=_RETRY_S)) as documents:
        await judge.follow(documents, on_ready=settings.ready_file.touch)


async def _keep_looking(judge: Judge, *, interval_s: float) -> None:
    """Look once in an interval, or where looks take longer, half of the time: the view has others to answer, too."""
    while True:
        began = time.monotonic()
        await judge.look_at_all()
        took_s = time.monotonic() - began
        await asyncio.sleep(max(took_s, interval_s - took_s))
