"""Checks at short intervals who answers in the region, and reports each change."""

import asyncio

import httpx
import msgspec
import structlog

from infra.clock import Clock
from infra.stack.addresses import LOOPBACK
from serving.gateway.failover_reports import FailoverReports
from serving.gateway.failover_watch import Address, FailoverWatch
from serving.gateway.follower import Follower
from serving.gateway.instance_health import InstanceHealth

_LOOK_EVERY_S = 0.5

_log = structlog.get_logger(__name__)


async def watch_failovers(
    follower: Follower, reports: FailoverReports, *, region: str, envoy_admin_port: int, clock: Clock
) -> None:
    """Check until cancelled. Envoy is only asked while there is anything that could take over."""
    watch = FailoverWatch(region, going_on=follower.failovers)
    async with httpx.AsyncClient(base_url=f"http://{LOOPBACK}:{envoy_admin_port}") as client:
        health = InstanceHealth(client)
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            picture = follower.picture()
            if not picture.standings and not watch.has_failovers:
                continue
            unreachable = await _unreachable(health)
            if unreachable is not None:
                picture = msgspec.structs.replace(picture, unreachable=unreachable)
                reports.add(watch.look(picture, now_ms=int(clock.monotonic() * 1_000)))


async def _unreachable(health: InstanceHealth) -> frozenset[Address] | None:
    """Ask Envoy; without an answer nothing is concluded, because then nobody is served."""
    try:
        return await health.unreachable()
    except (httpx.HTTPError, msgspec.DecodeError) as error:
        _log.warning("instance_health_unknown", error=repr(error))
        return None
