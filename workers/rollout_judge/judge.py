"""Looks at each active rollout once per interval. Two judges at once only measure twice."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Protocol

import structlog

from infra.background import Background
from infra.clock import Clock
from infra.kafka.serving_state import Documents
from schemas.events.rollouts import Measurement
from schemas.measurement import Measured
from workers.rollout_judge.control_plane import Judged
from workers.rollout_judge.errors import PartAwayError, RefusedError
from workers.rollout_judge.looks import (
    LastSent,
    LookAtView,
    ReportWarmUp,
    measurement_of,
    next_action,
    sent_of,
    unseen_measurement,
)
from workers.rollout_judge.state import Moment, Picture, Rollouts, Watched

_LOOKS_AT_ONCE = 8
_FIRST_BACK_OFF_S = 0.25
_MAX_BACK_OFF_S = 5.0
_log = structlog.get_logger(__name__)


class Plane(Protocol):
    """What the judge needs from the control plane."""

    async def look(self, look: LookAtView) -> Measured: ...
    async def report_warm_up(self, rollout_id: str, report: ReportWarmUp) -> None: ...
    async def report_measurement(self, rollout_id: str, measurement: Measurement) -> Judged: ...


class Judge:
    """Tracks the active rollouts, and measures them."""

    def __init__(self, plane: Plane, *, clock: Clock, background: Background) -> None:
        self._plane = plane
        self._clock = clock
        self._background = background
        self._picture = Picture()
        self._sent: dict[str, LastSent] = {}
        self._quiet_until: dict[str, float] = {}
        self._back_off: dict[str, float] = {}
        self.looks = 0
        self.failed_looks = 0

    @property
    def rollouts(self) -> Rollouts:
        """Return the active rollouts."""
        return self._picture.rollouts

    @property
    def position(self) -> int:
        """Return the position in the log of the last event whose document was seen."""
        return self._picture.position

    async def follow(self, documents: AsyncIterator[Documents], *, on_ready: Callable[[], None]) -> None:
        """Take in documents until they cannot be read."""
        async for read in documents:
            seen_s, now_ms = self._clock.monotonic(), self._clock.now_ms()
            moment = Moment(seen_s=seen_s, now_ms=now_ms, is_live=not read.is_all)
            self._picture.take(read, moment)
            if read.is_all:
                _log.info("judge_follows_documents", position=self.position, active_rollouts=len(self.rollouts))
                on_ready()

    async def look_at_all(self) -> None:
        """Look once at each active rollout, a few at a time."""
        self._forget_finished()
        places = asyncio.Semaphore(_LOOKS_AT_ONCE)

        async def look(watched: Watched) -> None:
            async with places:
                await self._look_unless_quiet(watched)

        await asyncio.gather(*(look(watched) for watched in list(self.rollouts.values())))

    def _forget_finished(self) -> None:
        for remembered in (self._sent, self._quiet_until, self._back_off):
            for rollout_id in remembered.keys() - self.rollouts.keys():
                del remembered[rollout_id]

    async def _look_unless_quiet(self, watched: Watched) -> None:
        if self._clock.monotonic() < self._quiet_until.get(watched.rollout.id, 0.0):
            return
        self.looks += 1
        try:
            await self._look(watched)
        except (PartAwayError, RefusedError) as error:
            self._back_off_from(watched, error)
        except Exception as error:  # noqa: BLE001  a bug with one rollout must not end the looks at all others
            self._background.failed("judge-looks", error)
            self._back_off_from(watched, error)
        else:
            self._back_off.pop(watched.rollout.id, None)
            self._quiet_until.pop(watched.rollout.id, None)

    async def _look(self, watched: Watched) -> None:
        match next_action(watched, now_s=self._clock.monotonic()):
            case ReportWarmUp() as report:
                await self._plane.report_warm_up(watched.rollout.id, report)
            case LookAtView() as look:
                await self._measure(watched, look)
            case None:
                return

    async def _measure(self, watched: Watched, look: LookAtView) -> None:
        try:
            answer = await self._plane.look(look)
        except PartAwayError:
            await self._report(watched, unseen_measurement(watched, now_s=self._clock.monotonic()))
            raise
        if answer.watermark_ms is None:
            await self._report(watched, unseen_measurement(watched, now_s=self._clock.monotonic()))
        else:
            await self._report(watched, measurement_of(watched, answer))

    async def _report(self, watched: Watched, measurement: Measurement | None) -> None:
        if measurement is None or self._sent.get(watched.rollout.id) == sent_of(measurement):
            return
        judged = await self._plane.report_measurement(watched.rollout.id, measurement)
        self._sent[watched.rollout.id] = sent_of(measurement)
        if judged.decision != "none":
            _log.info("step_judged", rollout_id=watched.rollout.id, decision=judged.decision, step=watched.rollout.step)

    def _back_off_from(self, watched: Watched, error: Exception) -> None:
        self.failed_looks += 1
        wait_s = min(_MAX_BACK_OFF_S, 2 * self._back_off.get(watched.rollout.id, _FIRST_BACK_OFF_S / 2))
        self._back_off[watched.rollout.id] = wait_s
        self._quiet_until[watched.rollout.id] = self._clock.monotonic() + wait_s
        _log.warning("look_failed", rollout_id=watched.rollout.id, error=str(error), wait_s=wait_s)
