"""Reports failovers to the control plane, in order and with retries, after the gateway has made them."""

import asyncio
import random
from collections import deque
from collections.abc import Iterable

import httpx
import msgspec
import structlog

from infra.clock import Clock
from schemas.envelope import rfc3339
from schemas.failover import FailoverReport, ReportFailoverEnd, ReportFailoverStart
from serving.gateway.control_plane_client import ControlPlaneClient, RefusedByControlPlaneError
from serving.gateway.failover_watch import Started, Transition

_MAX_WAITING = 1_000
_FIRST_PAUSE_S = 0.1
_MAX_PAUSE_S = 5.0

_log = structlog.get_logger(__name__)


class _Report(msgspec.Struct, frozen=True, kw_only=True):
    endpoint_id: str
    body: FailoverReport


class FailoverReports:
    """Holds reports to send; above its limit the oldest is dropped and logged."""

    def __init__(self, control_plane: ControlPlaneClient, *, clock: Clock, region: str) -> None:
        self._control_plane = control_plane
        self._clock = clock
        self._region = region
        self._waiting: deque[_Report] = deque()
        self._has_some = asyncio.Event()

    def add(self, transitions: Iterable[Transition]) -> None:
        """Take a change that was just noticed."""
        for transition in transitions:
            what = "failover_started" if isinstance(transition, Started) else "failover_ended"
            _log.warning(what, region=self._region, **msgspec.structs.asdict(transition))
            if len(self._waiting) == _MAX_WAITING:
                lost = self._waiting.popleft()
                _log.error("failover_report_dropped", endpoint_id=lost.endpoint_id, **msgspec.structs.asdict(lost.body))
            self._waiting.append(self._report_of(transition))
            self._has_some.set()

    async def report_forever(self) -> None:
        """Send them one by one, until cancelled."""
        pause_s = _FIRST_PAUSE_S
        while True:
            await self._has_some.wait()
            report = self._waiting[0]
            if await self._send(report):
                pause_s = _FIRST_PAUSE_S
                self._remove(report)
                continue
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
            pause_s = min(2 * pause_s, _MAX_PAUSE_S)

    async def _send(self, report: _Report) -> bool:
        try:
            await self._control_plane.report_failover(report.endpoint_id, report.body)
        except RefusedByControlPlaneError as error:
            _log.error("failover_report_refused", endpoint_id=report.endpoint_id, reason=str(error))
        except (httpx.HTTPError, OSError) as error:
            _log.warning("failover_report_delayed", endpoint_id=report.endpoint_id, error=repr(error))
            return False
        return True

    def _report_of(self, transition: Transition) -> _Report:
        """Make the command of what was just noticed."""
        body: type[FailoverReport] = ReportFailoverStart if isinstance(transition, Started) else ReportFailoverEnd
        noticed = msgspec.structs.asdict(transition)
        endpoint_id = noticed.pop("endpoint_id")
        observed_at = rfc3339(self._clock.now_ms())
        return _Report(endpoint_id=endpoint_id, body=body(**noticed, region=self._region, observed_at=observed_at))

    def _remove(self, report: _Report) -> None:
        # It may have been dropped meanwhile.
        if self._waiting and self._waiting[0] is report:
            self._waiting.popleft()
        if not self._waiting:
            self._has_some.clear()
