"""The program `follower`: serves Envoy its configuration, first from the last good state on disk, then from the log."""

import asyncio
import os
from collections.abc import Mapping
from contextlib import aclosing, suppress
from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated

import httpx
import msgspec
import structlog

from infra.arguments import take_no_arguments
from infra.background import AsyncWork, Background
from infra.clock import SystemClock
from infra.errors import CannotStartError
from infra.kafka.connection import KafkaConnection
from infra.kafka.serving_state import keep_reading
from infra.log_identity import log_id_in
from infra.metrics import Metrics
from infra.program_settings import RegionalServiceSettings
from infra.settings import load_settings
from infra.shutdown import ended_or_set, run_program
from infra.stack.addresses import LOOPBACK, ON_LOOPBACK
from infra.tracing import OtlpEndpoint
from serving.gateway.ads_server import AdsServer
from serving.gateway.applied_reports import AppliedReports
from serving.gateway.control_plane_client import ControlPlaneClient
from serving.gateway.envoy_process import gateway_folder
from serving.gateway.failover_loop import watch_failovers
from serving.gateway.failover_reports import FailoverReports
from serving.gateway.follower import Follower
from serving.gateway.limits import Limits
from serving.gateway.priorities import Home
from serving.gateway.probe import Prober
from serving.gateway.resources import fixed_resources
from serving.gateway.retries import MAX_HELD
from serving.gateway.state_file import StateFile, open_state_file
from serving.gateway.waiting_rooms import HoldLimits, WaitingRooms

PREFIX = "ROLLBOOK_FOLLOWER_"
_GATHER_S = 0.01
_RETRY_S = 0.5
_POLL_KEYS_S = 3.0

_log = structlog.get_logger(__name__)

Port = Annotated[int, msgspec.Meta(ge=1, le=65_535)]


class FollowerSettings(RegionalServiceSettings, frozen=True, kw_only=True):
    """Where the follower reads from and what it configures."""

    ads_port: Annotated[Port, msgspec.Meta(description="port where Envoy asks for its configuration")]
    envoy_host: Annotated[IPv4Address, msgspec.Meta(description="address that Envoy listens on")] = ON_LOOPBACK
    envoy_port: Annotated[Port, msgspec.Meta(description="port where Envoy listens for inference requests")]
    envoy_admin_port: Annotated[Port, msgspec.Meta(description="port of Envoy's admin page, logged for operators")]
    ready_file: Annotated[Path, msgspec.Meta(description="created once the configuration is served")]
    zone: Annotated[str, msgspec.Meta(description="the zone whose instances are preferred; empty: none")] = ""
    max_body_bytes: Annotated[int, msgspec.Meta(ge=1_024, description="the largest request body")] = 33_554_432
    hold_requests: Annotated[
        int, msgspec.Meta(ge=0, le=MAX_HELD, description="requests held for a sleeping deployment, per protocol")
    ] = 64
    hold_seconds: Annotated[float, msgspec.Meta(gt=0, le=50, description="maximum time to hold a request")] = 30.0
    idle_s: Annotated[float, msgspec.Meta(gt=0, description="time after which an idle connection is closed")] = 300.0
    otlp_endpoint: OtlpEndpoint = None

    @property
    def hold_limits(self) -> HoldLimits:
        """What to hold for a sleeping deployment."""
        return HoldLimits(requests=self.hold_requests, seconds=self.hold_seconds)

    @property
    def limits(self) -> Limits:
        """What one caller may use of the gateway."""
        return Limits(max_body_bytes=self.max_body_bytes, idle_s=self.idle_s, otlp_endpoint=self.otlp_endpoint)


def main(argv: list[str] | None = None) -> int:
    """Run the program."""
    take_no_arguments("follower", "Configure the inference gateway from the log of events.", argv)

    async def body(stopping: asyncio.Event) -> None:
        await run_follower(load_settings(FollowerSettings, PREFIX, os.environ), stopping)

    return run_program("follower", body)


async def run_follower(settings: FollowerSettings, stopping: asyncio.Event) -> None:
    """Serve until asked to stop; Envoy keeps its configuration after that."""
    settings.ready_file.unlink(missing_ok=True)
    serving = asyncio.create_task(_serve(settings))
    try:
        await ended_or_set(serving, stopping)
        if serving.done():
            serving.result()
    finally:
        settings.ready_file.unlink(missing_ok=True)
        serving.cancel()
        with suppress(asyncio.CancelledError):
            await serving


async def _serve(settings: FollowerSettings) -> None:
    folder = gateway_folder(settings.data_dir, settings.region)
    with open_state_file(folder) as file:
        await _serve_from(file, folder, settings)


async def _serve_from(file: StateFile, folder: Path, settings: FollowerSettings) -> None:
    prober, background = Prober(folder), Background()
    home = Home(region=settings.region, zone=settings.zone, gateway_id=log_id_in(folder))
    async with ControlPlaneClient(settings.api_url, token_file=settings.token_file) as control_plane:
        ads = AdsServer()
        reports = AppliedReports(
            control_plane,
            prober=prober,
            clock=SystemClock(),
            region=home.region,
            gateway_id=home.gateway_id,
        )
        rooms = WaitingRooms(folder, waker=control_plane, limits=settings.hold_limits, background=background)
        follower = Follower(
            file,
            ads=ads,
            reports=reports,
            rooms=rooms,
            clock=SystemClock(),
            home=home,
        )
        control_plane.workspace_of = follower.workspace_of
        failovers = FailoverReports(control_plane, clock=SystemClock(), region=settings.region)
        ads.put(fixed_resources(host=str(settings.envoy_host), port=settings.envoy_port, limits=settings.limits))
        sources: Mapping[str, AsyncWork] = {
            "follower-follows-documents": lambda: _follow_documents(follower, settings.kafka),
            "follower-follows-keys": lambda: _follow_keys(follower, control_plane),
        }
        works: Mapping[str, AsyncWork] = {
            "follower-keeps-state": follower.keep_state,
            "follower-probes": reports.probe_forever,
            "follower-reports-applied": reports.report_forever,
            "follower-reports-failovers": failovers.report_forever,
            "follower-watches-failovers": lambda: _watch_failovers(follower, failovers, settings),
        }
        try:
            with _metrics(follower, ads, background).served(settings.metrics_port, host=LOOPBACK):
                async with background.running(sources):
                    if file.state is None:
                        await follower.has_something_to_serve()
                    follower.begin()
                    await _start(ads, follower, settings)
                    async with background.running(works):
                        await asyncio.Event().wait()
        finally:
            prober.close()
            await ads.stop()
            await rooms.close()


def _metrics(follower: Follower, ads: AdsServer, background: Background) -> Metrics:
    metrics = Metrics()
    background.show_in(metrics)
    metrics.gauge("rollbook_follower_position", "Its position in the log.", lambda: follower.position)
    metrics.gauge("rollbook_follower_kept_position", "Its position in the log on disk.", lambda: follower.kept_position)
    metrics.gauge("rollbook_follower_gateways", "Gateways that are connected.", lambda: len(ads.gateway_ids))
    metrics.gauges("rollbook_follower_resources", "Entries of the routing table.", label="kind", read=follower.sizes)
    metrics.counter("rollbook_follower_changes", "Resources that were changed for Envoy.", lambda: follower.changes)
    return metrics


async def _watch_failovers(follower: Follower, reports: FailoverReports, settings: FollowerSettings) -> None:
    await watch_failovers(
        follower, reports, region=settings.region, envoy_admin_port=settings.envoy_admin_port, clock=SystemClock()
    )


async def _start(ads: AdsServer, follower: Follower, settings: FollowerSettings) -> None:
    port = settings.ads_port
    try:
        await ads.start(port=port, on_taken=follower.on_taken)
    except RuntimeError as error:
        raise CannotStartError(f"port {port}, needed for the gateway's configuration, is taken; free it") from error
    settings.ready_file.touch()
    _log.info("follower_ready", envoy_admin=f"http://{LOOPBACK}:{settings.envoy_admin_port}")


async def _follow_documents(follower: Follower, connection: KafkaConnection) -> None:
    source = keep_reading(connection, client_id="follower", retry_s=_RETRY_S, gather_s=_GATHER_S)
    async with aclosing(source) as documents:
        async for read in documents:
            follower.follow(read)


async def _follow_keys(follower: Follower, control_plane: ControlPlaneClient) -> None:
    while True:
        try:
            follower.renew_tokens(await control_plane.token_rules(known=follower.tokens))
        except (httpx.HTTPError, OSError) as error:
            _log.warning("token_keys_delayed", error=repr(error))
        await asyncio.sleep(_POLL_KEYS_S)
