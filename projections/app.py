"""The program `projections`: migrates the tables, then folds the topics into them until it is stopped."""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import structlog
from faust.contrib.asgi import faust_app_running

from infra.arguments import take_no_arguments
from infra.background import Background
from infra.clock import SystemClock
from infra.data_directory import write_atomically
from infra.metrics import Metrics
from infra.settings import load_settings
from infra.shutdown import run_program
from infra.stack.addresses import LOOPBACK
from projections.feeds.feed import Pace
from projections.retention.expiry import keep_rows
from projections.rollups.arrivals import ARRIVALS
from projections.rollups.roller import Roller, rolling_on
from projections.settings import PREFIX, ProjectionsSettings
from projections.sink.dead_letters import KafkaDeadLetters
from projections.sink.marks import ClickHouseMarks, KafkaLogProbe
from projections.sink.sink import DeadLetters, Sink
from projections.sink.stream_worker import StreamWorker, Subscription, WorkerSettings, build_worker
from projections.sink.watchdog import watch
from projections.store import ClickHouseStore
from projections.table_layout import bring_up_to_date, identity
from projections.views import PROJECTORS, TABLES

GROUP = "projections-project-views"

_STOP_TIMEOUT_S = 8.0
_log = structlog.get_logger(__name__)


def main(argv: list[str] | None = None) -> int:
    """Run until a signal; the exit code says how it ended."""
    take_no_arguments("projections", "Fold the topics into the views.", argv)

    async def body(stopping: asyncio.Event) -> None:
        await run(load_settings(ProjectionsSettings, PREFIX, os.environ), stopping)

    return run_program("projections", body)


async def run(settings: ProjectionsSettings, stopping: asyncio.Event) -> None:
    """Serve until stopped; raises what made it impossible to go on, so that a new process resumes."""
    _prepare_files(settings)
    async with _resources(settings) as (store, dead_letters):
        background = Background()
        subscriptions = _subscriptions(settings, store, dead_letters, background)
        worker = build_worker(_worker_settings(settings, await identity(store)), subscriptions)
        async with rolling_on(
            settings.clickhouse_url,
            clock=SystemClock(),
            kept_days=msgspec.structs.asdict(settings.retention_days),
            background=background,
        ) as roller:
            with _metrics(subscriptions, roller, background).served(settings.metrics_port, host=LOOPBACK):
                async with faust_app_running(worker.app, stop_timeout=_STOP_TIMEOUT_S):
                    rolling = roller.run(every_s=settings.rollup_ms / 1000, arrived=partial(_arrived, subscriptions))
                    await _serve(worker, settings, stopping, beside=rolling)


def _arrived(subscriptions: Sequence[Subscription]) -> int:
    return sum(one.sink.inserted[ARRIVALS.name] for one in subscriptions)


def _metrics(subscriptions: Sequence[Subscription], roller: Roller, background: Background) -> Metrics:
    sinks = {one.topic.name: one.sink for one in subscriptions}

    def inserted() -> dict[str, float]:
        tables: Counter[str] = Counter()
        for sink in sinks.values():
            tables.update(dict(sink.inserted))
        return {**tables}

    metrics = Metrics()
    background.show_in(metrics)
    metrics.counters(
        "rollbook_sink_messages",
        "Messages applied to the tables.",
        label="topic",
        read=lambda: {topic: sink.settled for topic, sink in sinks.items()},
    )
    metrics.counters(
        "rollbook_sink_dead_letters",
        "Messages that could not be decoded, or on which a view failed.",
        label="topic",
        read=lambda: {topic: sink.rejected for topic, sink in sinks.items()},
    )
    metrics.counters("rollbook_sink_inserted_rows", "Rows inserted, including repeats.", label="table", read=inserted)
    metrics.counters(
        "rollbook_rollup_spans",
        "Minutes, hours and days that were rolled up, including repeats.",
        label="kind",
        read=lambda: {**roller.rolled_up},
    )
    metrics.counters(
        "rollbook_rollup_failures",
        "Passes that did not roll up what was due.",
        label="program",
        read=lambda: {"projections": roller.failures},
    )
    return metrics


@asynccontextmanager
async def _resources(settings: ProjectionsSettings) -> AsyncIterator[tuple[ClickHouseStore, KafkaDeadLetters]]:
    store = ClickHouseStore(settings.clickhouse_url)
    dead_letters = KafkaDeadLetters(settings.kafka)
    try:
        await bring_up_to_date(store)
        await keep_rows(store, TABLES, msgspec.structs.asdict(settings.retention_days))
        yield store, dead_letters
    finally:
        await dead_letters.close()
        await store.close()


async def _serve(
    worker: StreamWorker,
    settings: ProjectionsSettings,
    stopping: asyncio.Event,
    *,
    beside: Coroutine[Any, Any, None],
) -> None:
    parts = [
        asyncio.ensure_future(watch(worker, clock=SystemClock(), patience_s=settings.watchdog_s)),
        asyncio.ensure_future(_announce(worker, settings.ready_file)),
        asyncio.ensure_future(beside),
    ]
    stopped = asyncio.ensure_future(stopping.wait())
    try:
        await _wait_until_over(worker.fatal, stopped, parts=parts)
    finally:
        settings.ready_file.unlink(missing_ok=True)
        for task in (*parts, stopped):
            task.cancel()
        await asyncio.gather(*parts, stopped, return_exceptions=True)


async def _wait_until_over(
    fatal: asyncio.Future[None],
    stopped: asyncio.Future[Any],
    *,
    parts: Sequence[asyncio.Future[None]],
) -> None:
    """Return when asked to stop; raise what ended a part, also one that only looks on, or it would fail in silence."""
    waited_for: set[asyncio.Future[Any]] = {fatal, stopped, *parts}
    while not (fatal.done() or stopped.done()):
        ended, waited_for = await asyncio.wait(waited_for, return_when=asyncio.FIRST_COMPLETED)
        for part in ended:
            part.result()
    if fatal.done():
        fatal.result()


async def _announce(worker: StreamWorker, ready_file: Path) -> None:
    await worker.assigned.wait()
    write_atomically(ready_file, f"{os.getpid()}\n".encode())
    _log.info("projections_ready")


def _prepare_files(settings: ProjectionsSettings) -> None:
    settings.ready_file.unlink(missing_ok=True)
    _faust_dir(settings).mkdir(parents=True, exist_ok=True)


def _member(settings: ProjectionsSettings) -> str:
    """Name this worker as long as its directory lives, so that a restart gets its old seat without a time-out."""
    path = _faust_dir(settings) / "member"
    if not path.exists():
        write_atomically(path, uuid4().hex.encode())
    return path.read_text()


def _faust_dir(settings: ProjectionsSettings) -> Path:
    return settings.data_dir / "projections" / "faust"


def _worker_settings(settings: ProjectionsSettings, database: str) -> WorkerSettings:
    return WorkerSettings(
        # Kafka's committed offsets mean "is in that database": another database has another group.
        group=f"{GROUP}-{database}",
        member=_member(settings),
        connection=settings.kafka,
        data_dir=_faust_dir(settings),
    )


def _subscriptions(
    settings: ProjectionsSettings, store: ClickHouseStore, dead_letters: DeadLetters, background: Background
) -> list[Subscription]:
    marks = ClickHouseMarks(store, clock=SystemClock(), same_log=KafkaLogProbe(settings.kafka))
    flush_ms: dict[Pace, int] = {
        "event": settings.flush_ms,
        "request": settings.request_flush_ms,
        "spread": settings.spread_flush_ms,
    }
    return [
        Subscription(
            topic=projector.topic,
            sink=Sink(
                projector=projector, inserts=store, marks=marks, dead_letters=dead_letters, background=background
            ),
            max_messages=projector.feed.max_messages,
            flush_s=flush_ms[projector.feed.pace] / 1000,
        )
        for projector in PROJECTORS
    ]
