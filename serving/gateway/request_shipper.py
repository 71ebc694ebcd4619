"""The program `shipper`: sends the gateway's request records to Kafka as they are written."""

import asyncio
import os
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Annotated
from uuid import uuid4

import msgspec
import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from infra.arguments import take_no_arguments
from infra.background import Background
from infra.clock import SystemClock
from infra.kafka.clients import abandon, producer, start_producer
from infra.kafka.connection import KafkaConnection
from infra.log_identity import log_id_in
from infra.metrics import Metrics
from infra.program_settings import KafkaProgramSettings
from infra.settings import load_settings
from infra.shutdown import ended_or_set, run_program
from infra.stack.addresses import LOOPBACK
from serving.gateway import names
from serving.gateway.envoy_process import gateway_folder
from serving.gateway.log_cap import LogCap
from serving.gateway.log_reader import LogReader, Place
from serving.gateway.request_log import MAX_ROWS, Lines
from serving.gateway.shipping import MAX_PIECE_BYTES, Headers, Progress, RequestShipper, Sink, read_progress
from serving.gateway.telemetry import GatewayTelemetry

PREFIX = "ROLLBOOK_SHIPPER_"
_PAUSE_S = 0.15
_PAUSE_WHEN_EMPTY_S = 0.6
_PAUSE_WHEN_BEHIND_S = 0.02
_RETRY_S = 0.5
_MEASURE_EVERY_S = 5.0
_SEND_DEADLINE_S = 30.0
_CLOSE_DEADLINE_S = 5.0

_log = structlog.get_logger(__name__)


class ShipperSettings(KafkaProgramSettings, frozen=True, kw_only=True):
    """Where the records are and where they go."""

    data_dir: Annotated[Path, msgspec.Meta(description="the stack's data directory")]
    ready_file: Annotated[Path, msgspec.Meta(description="created once Kafka is reachable")]
    region: Annotated[str, msgspec.Meta(description="the region this gateway belongs to")] = "local"
    max_log_bytes: Annotated[
        int,
        msgspec.Meta(
            ge=1024**2,
            description="size of the request log above which files that wait for Kafka lose detail, but no counts",
        ),
    ] = 2 * 1024**3
    envoy_admin_port: (
        Annotated[int, msgspec.Meta(ge=1, le=65_535, description="Envoy's admin page, for telemetry; unset: none")]
        | None
    ) = None


class KafkaSink:
    """Sends through an idempotent producer; a failed producer is replaced, and the message resent."""

    def __init__(self, connection: KafkaConnection) -> None:
        self._connection = connection
        self._producer: AIOKafkaProducer | None = None

    async def send(self, topic: str, *, key: str, value: bytes, headers: Headers) -> None:
        """Return once all replicas have the message, however long Kafka is unavailable."""
        while True:
            try:
                sender = await self.connect()
                async with asyncio.timeout(_SEND_DEADLINE_S):
                    await sender.send_and_wait(topic, key=key.encode(), value=value, headers=headers)
                return
            except (KafkaError, OSError, TimeoutError) as error:
                _log.warning("kafka_away", error=repr(error))
                await self.close()
                await asyncio.sleep(_RETRY_S)

    async def connect(self) -> AIOKafkaProducer:
        """Return the started producer.

        Raises:
            KafkaError, OSError: Kafka is away.
        """
        if self._producer is None:
            sender = producer(self._connection, client_id="shipper", compression="gzip")
            await start_producer(sender)
            self._producer = sender
        return self._producer

    async def close(self) -> None:
        """Close the producer; what it has not sent is resent by the next one."""
        sender, self._producer = self._producer, None
        if sender:
            await abandon(sender)


def main(argv: list[str] | None = None) -> int:
    """Run the program."""
    take_no_arguments("shipper", "Ship the gateway's request records to Kafka.", argv)

    async def body(stopping: asyncio.Event) -> None:
        await run_shipper(load_settings(ShipperSettings, PREFIX, os.environ), stopping)

    return run_program("shipper", body)


async def run_shipper(settings: ShipperSettings, stopping: asyncio.Event) -> None:
    """Ship until asked to stop, then close the source, so that nothing waits for it."""
    settings.ready_file.unlink(missing_ok=True)
    folder = gateway_folder(settings.data_dir, settings.region)
    sink = KafkaSink(settings.kafka)
    background = Background()
    measuring = background.task("shipper-measures-gateway", lambda: _measure(settings, log_id=log_id_in(folder)))
    try:
        # If this fails, the program ends, and the next process continues from what is on disk.
        shipping = asyncio.create_task(_ship(folder, settings, sink, stopping, background))
        await ended_or_set(shipping, stopping)
        with suppress(TimeoutError):
            # Without Kafka the source stays open; the next start closes it.
            await asyncio.wait_for(shipping, timeout=_CLOSE_DEADLINE_S)
    finally:
        settings.ready_file.unlink(missing_ok=True)
        measuring.cancel()
        with suppress(asyncio.CancelledError):
            await measuring
        await sink.close()


async def _measure(settings: ShipperSettings, *, log_id: str) -> None:
    """Ship Envoy's counters alongside the records, through a separate producer: neither waits for the other."""
    if settings.envoy_admin_port is None:
        return
    sink = KafkaSink(settings.kafka)
    telemetry = GatewayTelemetry(
        sink, admin_port=settings.envoy_admin_port, region=settings.region, log_id=log_id, clock=SystemClock()
    )
    try:
        await telemetry.run(interval_s=_MEASURE_EVERY_S)
    finally:
        await sink.close()


async def _ship(
    folder: Path, settings: ShipperSettings, sink: KafkaSink, stopping: asyncio.Event, background: Background
) -> None:
    shipper = await begin_source(folder, sink, region=settings.region)
    reader = LogReader(folder, region=settings.region)
    cap = LogCap(folder, reader=reader, max_bytes=settings.max_log_bytes, in_use=lambda: shipper.file_in_use)
    with _metrics(shipper, cap, background).served(settings.metrics_port, host=LOOPBACK):
        async with background.running({"shipper-caps-log": cap.run}):
            while not stopping.is_set():
                lines = await shipper.ship_next()
                settings.ready_file.touch()
                with suppress(TimeoutError):
                    await asyncio.wait_for(stopping.wait(), timeout=_pause_after(lines))
            await shipper.ship_next(state="closing")


def _metrics(shipper: RequestShipper, cap: LogCap, background: Background) -> Metrics:
    metrics = Metrics()
    background.show_in(metrics)
    metrics.gauge("rollbook_shipper_log_bytes", "Size of the request log.", cap.size_bytes)
    metrics.counter(
        "rollbook_shipper_records_without_detail",
        "Requests that are counted but were thinned, because the log was above its size.",
        lambda: cap.without_detail,
    )
    metrics.counter("rollbook_shipper_records", "Request records sent.", lambda: shipper.records)
    metrics.counter(
        "rollbook_shipper_unreadable_lines", "Log lines that are not request records.", lambda: shipper.unreadable
    )
    metrics.counter("rollbook_shipper_batches", "Batches sent, including empty ones.", lambda: shipper.progress.batch)
    metrics.gauge(
        "rollbook_shipper_closed_until_seconds",
        "Unix time before which every finished request has been sent.",
        lambda: shipper.progress.closed_until_ms / 1_000,
    )
    return metrics


async def begin_source(folder: Path, sink: Sink, *, region: str) -> RequestShipper:
    """Finish what an earlier shipper left open, under its source and batch numbers, and start a new source."""
    path = folder / names.SHIPPER_POSITION
    reader = LogReader(folder, region=region)
    shipper = partial(RequestShipper, sink, reader=reader, path=path, region=region, log_id=log_id_in(folder))
    progress = read_progress(path) or Progress(
        source="", batch=0, place=Place(file_number=0, offset=0), closed_until_ms=0, is_closed=True
    )
    if not progress.is_closed:
        progress = await shipper(progress=progress).close_unread()
    fresh = Progress(
        source=f"shipper-{uuid4()}", batch=0, place=progress.place, closed_until_ms=progress.closed_until_ms
    )
    return shipper(progress=fresh)


def _pause_after(lines: Lines) -> float:
    if not lines.rows:
        return _PAUSE_WHEN_EMPTY_S
    # Limits what a backlog costs the gateway on the same machine, to about 25 MB/s.
    is_behind = lines.consumed > MAX_PIECE_BYTES // 2 or len(lines.rows) >= MAX_ROWS
    return _PAUSE_WHEN_BEHIND_S if is_behind else _PAUSE_S
