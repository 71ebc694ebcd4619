"""The program `relay`."""

import asyncio
import os
from pathlib import Path
from typing import Annotated

import msgspec
import structlog

from control_plane.event_store.log_file import open_log_file
from control_plane.log.errors import LogDamagedError, LogUnreadableError
from control_plane.relay.leadership import sole_relay
from control_plane.relay.nudges import open_nudges
from control_plane.relay.relay import Relay, sleep_unless
from infra.arguments import take_no_arguments
from infra.errors import CannotStartError
from infra.metrics import Metrics
from infra.program_settings import KafkaProgramSettings
from infra.settings import load_settings
from infra.shutdown import run_program
from infra.stack.addresses import LOOPBACK

PREFIX = "ROLLBOOK_RELAY_"
_POLL_SECONDS = 0.2
_log = structlog.get_logger(__name__)


class RelaySettings(KafkaProgramSettings, frozen=True, kw_only=True):
    """What the relay needs to know."""

    data_dir: Annotated[Path, msgspec.Meta(description="the data directory of the stack, with the store in it")]
    nudge_socket: Annotated[Path, msgspec.Meta(description="the Unix socket on which the API announces commits")]
    ready_file: Annotated[Path, msgspec.Meta(description="the file that marks that the topic was up to date once")]


def main(argv: list[str] | None = None) -> int:
    take_no_arguments("relay", "Publish the store's log to Kafka.", argv)
    return run_program("relay", lambda stopping: run_relay(_settings(), stopping))


async def run_relay(settings: RelaySettings, stopping: asyncio.Event) -> None:
    """Publish until told to stop, as the only relay of the data directory."""
    _not_ready(settings)
    events = settings.data_dir / "events"
    if not await _wait_for(events / "registry.sqlite", stopping):
        return
    async with sole_relay(events / "relay.lock", stopping=stopping) as is_leader:
        if not is_leader:
            return
        with open_log_file(events / "registry.sqlite") as log:
            async with open_nudges(settings.nudge_socket) as nudges:
                relay = Relay(log, settings.kafka, nudges=nudges, when_caught_up=settings.ready_file.touch)
                with _metrics(relay).served(settings.metrics_port, host=LOOPBACK):
                    await relay.run(stopping)


def _metrics(relay: Relay) -> Metrics:
    metrics = Metrics()
    metrics.gauge("rollbook_relay_position", "Position of the last event in the topic.", lambda: relay.position)
    metrics.counter("rollbook_relay_published_events", "Events sent to the topic.", lambda: relay.published)
    metrics.counter(
        "rollbook_relay_published_documents", "Documents sent to their topic.", lambda: relay.published_documents
    )
    metrics.counter("rollbook_relay_failures", "Times it had to start over.", lambda: relay.failures)
    return metrics


async def _wait_for(store: Path, stopping: asyncio.Event) -> bool:
    """Wait for the API to make the store; False when told to stop before."""
    has_logged = False
    while not stopping.is_set():
        if _store_exists(store):
            return True
        if not has_logged:
            _log.info("relay_waits_for_the_store", store=str(store))
            has_logged = True
        await sleep_unless(stopping, _POLL_SECONDS)
    return False


def _store_exists(store: Path) -> bool:
    try:
        with open_log_file(store):
            return True
    except LogDamagedError as error:
        raise CannotStartError(f"{error}; restore it from the topic") from error
    except LogUnreadableError:
        return False


def _not_ready(settings: RelaySettings) -> None:
    settings.ready_file.unlink(missing_ok=True)


def _settings() -> RelaySettings:
    return load_settings(RelaySettings, PREFIX, os.environ)
