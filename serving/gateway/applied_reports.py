"""What follows Envoy's ACK: a probe that sees the epoch, then the report to the control plane.

Neither delays reading the log. Each queue only keeps the newest epoch of an endpoint, and an endpoint whose epoch is
not served, or whose report does not get through, does not delay others.
"""

import asyncio
import random
from collections.abc import Iterable
from contextlib import suppress

import httpx
import msgspec
import structlog

from infra.clock import Clock
from serving.gateway.control_plane_client import ControlPlaneClient, RefusedByControlPlaneError
from serving.gateway.probe import NotServedError, Prober
from serving.gateway.routing_state import EndpointRoute

_FIRST_PROBE_PAUSE_S = 0.002
_FIRST_PAUSE_S = 0.1
_MAX_PAUSE_S = 5.0
_WARN_AFTER_S = 10.0
_REPORTS_AT_ONCE = 8

_log = structlog.get_logger(__name__)


class _Epoch(msgspec.Struct, frozen=True, kw_only=True):
    endpoint: EndpointRoute
    number: int
    position: int
    applied_at_ms: int = 0


class _Turn(msgspec.Struct, kw_only=True):
    """When an epoch is retried."""

    epoch: _Epoch
    pause_s: float
    due_s: float = 0.0
    warned_s: float

    def postpone(self, now_s: float) -> None:
        """Wait twice as long as before. The jitter spreads retries that failed together."""
        self.due_s = now_s + self.pause_s * random.uniform(0.5, 1.0)  # noqa: S311 - jitter
        self.pause_s = min(2 * self.pause_s, _MAX_PAUSE_S)


class AppliedReports:
    """Probes and reports epochs in the background."""

    def __init__(
        self,
        control_plane: ControlPlaneClient,
        *,
        prober: Prober,
        clock: Clock,
        region: str,
        gateway_id: str,
    ) -> None:
        self._control_plane = control_plane
        self._prober = prober
        self._clock = clock
        self._region = region
        self._gateway_id = gateway_id
        self._acknowledged: dict[str, _Turn] = {}
        self._seen: dict[str, _Turn] = {}
        self._kept_position = 0
        self._has_acknowledged = asyncio.Event()
        self._may_report = asyncio.Event()

    def confirm(self, endpoint: EndpointRoute, *, epoch: int, position: int) -> None:
        """Take an epoch that Envoy has acknowledged and that the state at this position contains."""
        acknowledged = _Epoch(endpoint=endpoint, number=epoch, position=position)
        turn = _Turn(epoch=acknowledged, pause_s=_FIRST_PROBE_PAUSE_S, warned_s=self._clock.monotonic())
        self._acknowledged[endpoint.id] = turn
        self._has_acknowledged.set()

    def kept_until(self, position: int) -> None:
        """Note that the state up to this position is on disk.

        An epoch is reported only then: a follower that restarts without the control plane must not fall behind an epoch
        that the log has recorded as applied.
        """
        self._kept_position = position
        self._may_report.set()

    async def probe_forever(self) -> None:
        """Check that each acknowledged epoch is served, until cancelled.

        A probe is quick, so they run one after the other.
        """
        while True:
            now_s = self._clock.monotonic()
            for turn in [turn for turn in self._acknowledged.values() if turn.due_s <= now_s]:
                await self._probe(turn)
            await _wait_for_turn(self._acknowledged.values(), self._has_acknowledged, now_s=self._clock.monotonic())

    async def report_forever(self) -> None:
        """Report each epoch that was seen, until cancelled; retry while the control plane is away."""
        while True:
            now_s = self._clock.monotonic()
            due = [turn for turn in self._ready() if turn.due_s <= now_s]
            await asyncio.gather(*(self._report(turn) for turn in due[:_REPORTS_AT_ONCE]))
            await _wait_for_turn(self._ready(), self._may_report, now_s=self._clock.monotonic())

    def _ready(self) -> list[_Turn]:
        return [turn for turn in self._seen.values() if turn.epoch.position <= self._kept_position]

    async def _probe(self, turn: _Turn) -> None:
        epoch, endpoint = turn.epoch, turn.epoch.endpoint
        try:
            served = await self._prober.epoch_of(endpoint)
        except NotServedError as error:
            self._not_served(turn, str(error))
            return
        if served < epoch.number:
            self._not_served(turn, f"epoch {served} is served")
            return
        _forget(self._acknowledged, turn)
        _log.info("epoch_served", endpoint_id=endpoint.id, epoch=epoch.number)
        seen = msgspec.structs.replace(epoch, applied_at_ms=self._clock.now_ms())
        self._seen[endpoint.id] = _Turn(epoch=seen, pause_s=_FIRST_PAUSE_S, warned_s=self._clock.monotonic())
        self._may_report.set()

    def _not_served(self, turn: _Turn, reason: str) -> None:
        now_s = self._clock.monotonic()
        turn.postpone(now_s)
        if now_s - turn.warned_s >= _WARN_AFTER_S:
            turn.warned_s = now_s
            epoch = turn.epoch
            _log.error("epoch_not_served", endpoint_id=epoch.endpoint.id, epoch=epoch.number, reason=reason)

    async def _report(self, turn: _Turn) -> None:
        """Report one epoch; any answer, good or bad, settles it."""
        epoch = turn.epoch
        try:
            await self._control_plane.report_applied(
                epoch.endpoint.id,
                epoch=epoch.number,
                region=self._region,
                gateway_id=self._gateway_id,
                at_ms=epoch.applied_at_ms,
            )
        except RefusedByControlPlaneError as error:
            _log.error("applied_report_refused", endpoint_id=epoch.endpoint.id, epoch=epoch.number, reason=str(error))
        except (httpx.HTTPError, OSError) as error:
            _log.warning("applied_report_delayed", endpoint_id=epoch.endpoint.id, error=repr(error))
            turn.postpone(self._clock.monotonic())
            return
        _forget(self._seen, turn)


async def _wait_for_turn(turns: Iterable[_Turn], news: asyncio.Event, *, now_s: float) -> None:
    """Return when the next turn is due, or when another was added."""
    next_s = min((turn.due_s for turn in turns), default=None)
    with suppress(TimeoutError):
        await asyncio.wait_for(news.wait(), None if next_s is None else max(0.0, next_s - now_s))
    news.clear()


def _forget(turns: dict[str, _Turn], turn: _Turn) -> None:
    """Drop a turn, unless a newer epoch of the endpoint has replaced it."""
    if turns.get(turn.epoch.endpoint.id) is turn:
        del turns[turn.epoch.endpoint.id]
