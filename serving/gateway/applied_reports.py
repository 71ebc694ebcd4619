"""What comes after Envoy's ACK: one probe that sees the epoch, then the report to the control plane.

Neither holds up the following of the log. Only the newest epoch of an endpoint is kept in either queue.
"""

import asyncio
import random
from collections.abc import Callable

import httpx
import msgspec
import structlog

from infra.clock import Clock
from serving.gateway.control_plane_client import ControlPlaneClient, RefusedByControlPlaneError
from serving.gateway.probe import NotServedError, Prober
from serving.gateway.routing_state import EndpointRoute

_PROBE_AGAIN_S = 1.0
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0

_log = structlog.get_logger(__name__)


class _Epoch(msgspec.Struct, frozen=True, kw_only=True):
    endpoint: EndpointRoute
    number: int
    position: int
    applied_at_ms: int = 0


class AppliedReports:
    """Probes and reports epochs in the background."""

    def __init__(
        self,
        control_plane: ControlPlaneClient,
        *,
        prober: Prober,
        clock: Clock,
        region: str,
        gateway: Callable[[], str],
    ) -> None:
        self._control_plane = control_plane
        self._prober = prober
        self._clock = clock
        self._region = region
        self._gateway = gateway
        self._acknowledged: dict[str, _Epoch] = {}
        self._seen: dict[str, _Epoch] = {}
        self._kept_position = 0
        self._has_acknowledged = asyncio.Event()
        self._may_report = asyncio.Event()

    def confirm(self, endpoint: EndpointRoute, *, epoch: int, position: int) -> None:
        """Take an epoch that Envoy has acknowledged and that the state at this position holds."""
        self._acknowledged[endpoint.id] = _Epoch(endpoint=endpoint, number=epoch, position=position)
        self._has_acknowledged.set()

    def kept_until(self, position: int) -> None:
        """Hear that the state up to here is on disk.

        An epoch is reported only then: a follower that restarts without the control plane must not fall behind an
        epoch that the log calls applied.
        """
        self._kept_position = position
        self._may_report.set()

    async def probe_for_ever(self) -> None:
        """See each acknowledged epoch served, until cancelled."""
        while True:
            await self._has_acknowledged.wait()
            self._has_acknowledged.clear()
            while self._acknowledged:
                await self._probe(self._acknowledged.pop(next(iter(self._acknowledged))))

    async def report_for_ever(self) -> None:
        """Report each epoch that was seen, with patience while the control plane is away, until cancelled."""
        pause_s = _FIRST_PAUSE_S
        while True:
            ready = [epoch for epoch in self._seen.values() if epoch.position <= self._kept_position]
            if not ready:
                await self._may_report.wait()
                self._may_report.clear()
                continue
            if await self._report(ready[0]):
                pause_s = _FIRST_PAUSE_S
                continue
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _probe(self, epoch: _Epoch) -> None:
        try:
            await self._prober.see(epoch.endpoint, epoch=epoch.number)
        except NotServedError as error:
            _log.error("epoch_not_served", endpoint_id=epoch.endpoint.id, epoch=epoch.number, reason=str(error))
            self._acknowledged.setdefault(epoch.endpoint.id, epoch)
            await asyncio.sleep(_PROBE_AGAIN_S)
            return
        now_ms = self._clock.now_ms()
        _log.info("epoch_served", endpoint_id=epoch.endpoint.id, epoch=epoch.number)
        self._seen[epoch.endpoint.id] = msgspec.structs.replace(epoch, applied_at_ms=now_ms)
        self._may_report.set()

    async def _report(self, epoch: _Epoch) -> bool:
        """Report one epoch; tell whether it is done with, by an answer of either kind."""
        try:
            await self._control_plane.report_applied(
                epoch.endpoint.id,
                epoch=epoch.number,
                region=self._region,
                gateway_id=self._gateway(),
                at_ms=epoch.applied_at_ms,
            )
        except RefusedByControlPlaneError as error:
            _log.error("applied_report_refused", endpoint_id=epoch.endpoint.id, epoch=epoch.number, reason=str(error))
        except (httpx.HTTPError, OSError) as error:
            _log.warning("applied_report_delayed", endpoint_id=epoch.endpoint.id, error=repr(error))
            return False
        if self._seen.get(epoch.endpoint.id) is epoch:
            del self._seen[epoch.endpoint.id]
        return True
