"""The program "agent": runs the engines of this host as the documents say, and ships what they capture."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager, suppress

import structlog

from infra.arguments import take_no_arguments
from infra.background import AsyncWork, Background
from infra.clock import SystemClock
from infra.errors import LogAwayError
from infra.kafka.serving_state import Documents, read_documents
from infra.log_identity import log_id_in
from infra.metrics import Metrics
from infra.shutdown import run_program
from infra.stack.addresses import LOOPBACK
from workers.serving_agent.agent import ServingAgent
from workers.serving_agent.artifacts import ModelShelf
from workers.serving_agent.batch_sink import KafkaSink
from workers.serving_agent.capture_files import CaptureFiles
from workers.serving_agent.control_plane import ControlPlane
from workers.serving_agent.digest_keys import open_digest_keys
from workers.serving_agent.engine_confinement import require_confinement, what_is_missing
from workers.serving_agent.errors import CaptureNotHandedOverError
from workers.serving_agent.instance_book import InstanceBook
from workers.serving_agent.instance_start import InstanceStarter
from workers.serving_agent.kept_documents import KeptDocuments
from workers.serving_agent.parts import AgentParts
from workers.serving_agent.settings import AgentSettings, agent_settings
from workers.serving_agent.shipping import CAPTURED, MEASURED, Destination, SpoolShipping, Stream
from workers.serving_agent.telemetry import Telemetry

_PAUSE_S = 1.0
_SHIP_AT_STOP_S = 5.0
_DRAIN_S = 30.0

_log = structlog.get_logger(__name__)


def main(argv: list[str] | None = None) -> int:
    """Run the program."""
    take_no_arguments("agent", "Run the engines of this host and ship what they capture.", argv)

    async def body(stopping: asyncio.Event) -> None:
        await run_agent(agent_settings(os.environ), stopping, environ=os.environ)

    return run_program("agent", body, drain_seconds=_DRAIN_S)


async def run_agent(
    settings: AgentSettings,
    stopping: asyncio.Event,
    *,
    environ: Mapping[str, str],
    starter: type[InstanceStarter] = InstanceStarter,
) -> None:
    """Run until asked to stop; then withdraw, drain and stop every engine, and ship what they left."""
    settings.ready_file.unlink(missing_ok=True)
    _settle_confinement(settings, environ)
    settings.directory.mkdir(parents=True, exist_ok=True)
    (settings.data_dir / "logs").mkdir(exist_ok=True)
    async with _parts(settings, environ, starter) as parts, _shipping(settings, parts) as shipping:
        async with asyncio.TaskGroup() as group:
            agent = ServingAgent(parts, group)
            works: Mapping[str, AsyncWork] = {
                "agent-measures": lambda: _measure(agent, parts),
                "agent-follows-documents": lambda: _follow(agent, parts),
            }
            with _metrics(agent, shipping, parts.background).served(settings.metrics_port, host=LOOPBACK):
                async with parts.background.running(works):
                    await stopping.wait()
                settings.ready_file.unlink(missing_ok=True)
                await agent.stop()
        with suppress(TimeoutError):
            # Without Kafka the spools stay; the next agent ships and closes them.
            await asyncio.wait_for(shipping.drained(), _SHIP_AT_STOP_S)


def _settle_confinement(settings: AgentSettings, environ: Mapping[str, str]) -> None:
    missing = what_is_missing(settings, environ)
    require_confinement(settings, missing=missing)
    if missing:
        _log.warning("engines_not_fully_confined", missing=missing)
    else:
        _log.info("engines_confined")


async def _measure(agent: ServingAgent, parts: AgentParts) -> None:
    """Sample and ship what instances use; without Kafka only the shipping waits."""
    settings = parts.settings
    telemetry = Telemetry(
        settings.directory,
        host_id=settings.agent_id,
        region=settings.region,
        clock=parts.clock,
        instances=agent.looked_at,
        engine_host=settings.hosts.dialled,
    )
    sink = KafkaSink(settings.kafka, client_id=f"serving-agent-{settings.agent_id}-telemetry")
    shipping = SpoolShipping(
        telemetry.spools,
        to=_destination(settings, sink, MEASURED),
        clock=parts.clock,
        boots=lambda: {telemetry.boot_id},
        background=parts.background,
    )
    try:
        async with parts.background.running({"agent-ships-telemetry": shipping.run}):
            await telemetry.run(interval_s=settings.telemetry_interval_s)
    finally:
        await telemetry.close()
        await sink.close()


def _metrics(agent: ServingAgent, shipping: SpoolShipping, background: Background) -> Metrics:
    metrics, totals = Metrics(), shipping.totals
    background.show_in(metrics)
    metrics.gauges("rollbook_agent_instances", "Slots of this host.", label="state", read=agent.instances_by_state)
    metrics.counter("rollbook_agent_shipped_batches", "Batches sent, including empty ones.", lambda: totals.batches)
    metrics.counter("rollbook_agent_shipped_observations", "Captured predictions sent.", lambda: totals.rows)
    metrics.counter("rollbook_agent_lost_frames", "Frames dropped by full spools.", lambda: totals.lost_frames)
    return metrics


async def _follow(agent: ServingAgent, parts: AgentParts) -> None:
    """Follow the documents; start over whenever that breaks. While Kafka is unavailable, those on disk count."""
    kept = KeptDocuments(parts.settings.directory / "documents.json")
    agent.take(kept.read())
    while True:
        try:
            source = read_documents(parts.settings.kafka, client_id=f"serving-agent-{parts.settings.agent_id}")
            async with aclosing(source) as documents:
                async for read in documents:
                    await _take(agent, read, kept)
                    if read.is_all:
                        parts.settings.ready_file.touch()
                        await parts.starter.warm()
        except LogAwayError as error:
            _log.warning("documents_not_followed", reason=str(error))
            with suppress(CaptureNotHandedOverError):
                agent.settle()
        except CaptureNotHandedOverError as error:
            # Start over until it can be written: an engine must not continue under an old policy unnoticed.
            _log.error("capture_policy_not_handed_over", reason=str(error))
        await asyncio.sleep(_PAUSE_S)


async def _take(agent: ServingAgent, read: Documents, kept: KeptDocuments) -> None:
    before = agent.records
    agent.take(read)
    agent.settle()
    if agent.records != before:
        await kept.write(agent.records)


@asynccontextmanager
async def _parts(
    settings: AgentSettings, environ: Mapping[str, str], starting: type[InstanceStarter]
) -> AsyncIterator[AgentParts]:
    control_plane = ControlPlane(settings.api_url, token_file=settings.token_file)
    shelf = ModelShelf(settings.directory / "models", control_plane)
    book = InstanceBook(settings.directory / "instances.json")
    starter = starting(settings, shelf=shelf, book=book, environ=environ)
    try:
        yield AgentParts(
            settings=settings,
            control_plane=control_plane,
            shelf=shelf,
            book=book,
            starter=starter,
            captures=CaptureFiles(settings, open_digest_keys(settings.digest_key_file)),
            clock=SystemClock(),
            background=Background(),
        )
    finally:
        await starter.close()
        await control_plane.close()


@asynccontextmanager
async def _shipping(settings: AgentSettings, parts: AgentParts) -> AsyncIterator[SpoolShipping]:
    sink = KafkaSink(settings.kafka, client_id=f"serving-agent-{settings.agent_id}")
    shipping = SpoolShipping(
        settings.directory / "spool",
        to=_destination(settings, sink, CAPTURED),
        clock=parts.clock,
        boots=parts.book.boots,
        background=parts.background,
        max_bytes=settings.spools_max_bytes,
    )
    try:
        async with parts.background.running({"agent-ships-captures": shipping.run}):
            yield shipping
    finally:
        await sink.close()


def _destination(settings: AgentSettings, sink: KafkaSink, stream: Stream) -> Destination:
    # All spools of an agent are on one disk.
    return Destination(sink=sink, stream=stream, region=settings.region, log_id=log_id_in(settings.directory))


if __name__ == "__main__":
    raise SystemExit(main())
