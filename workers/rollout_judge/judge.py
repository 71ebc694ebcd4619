"""Looks at each active rollout once per interval. Two judges at once only measure twice."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol, TypeAlias, TypeVar

import structlog

from infra.background import Background
from infra.clock import Clock
from infra.kafka.serving_state import Documents
from schemas.events.rollouts import Measurement
from schemas.measurement import MAX_ITEMS, Measured, MeasuredRollout, MeasureEpochOf
from schemas.results import Result
from workers.rollout_judge.control_plane import Judged
from workers.rollout_judge.errors import PartAwayError, RefusedError
from workers.rollout_judge.looks import (
    LastSent,
    ReportWarmUp,
    measurement_of,
    next_action,
    sent_of,
    unseen_measurement,
)
from workers.rollout_judge.regions import silent_since
from workers.rollout_judge.state import Moment, Picture, Rollouts, Watched

_WARM_UPS_AT_ONCE = 8
_FIRST_BACK_OFF_S = 0.25
_MAX_BACK_OFF_S = 5.0
Answer = TypeVar("Answer")
Failed: TypeAlias = dict[str, Exception]
"""The errors of one look, by the rollouts that they are of."""
_log = structlog.get_logger(__name__)


class Plane(Protocol):
    """What the judge needs from the control plane."""

    def within(self, workspace: str) -> "Plane": ...
    async def look(self, epochs: Sequence[MeasureEpochOf]) -> list[Result[Measured]]: ...
    async def report_warm_up(self, rollout_id: str, report: ReportWarmUp) -> None: ...
    async def report_measurements(self, measured: Sequence[MeasuredRollout]) -> list[Result[Judged]]: ...


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
        self._silent: dict[str, dict[str, float]] = {}
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
        """Look once at each active rollout, at all of them together."""
        self._forget_finished()
        now_s = self._clock.monotonic()
        due = [each for each in self.rollouts.values() if now_s >= self._quiet_until.get(each.rollout.id, 0.0)]
        self.looks += len(due)
        failed: Failed = {}
        await self._act(due, failed)
        for watched in due:
            self._settle(watched, failed.get(watched.rollout.id))

    def _forget_finished(self) -> None:
        for remembered in (self._sent, self._quiet_until, self._back_off, self._silent):
            for rollout_id in remembered.keys() - self.rollouts.keys():
                del remembered[rollout_id]

    async def _act(self, due: Sequence[Watched], failed: Failed) -> None:
        warming: list[tuple[Watched, ReportWarmUp]] = []
        asked: list[tuple[Watched, MeasureEpochOf]] = []
        for watched in due:
            with self._noting([watched], failed):
                match next_action(watched, now_s=self._clock.monotonic()):
                    case ReportWarmUp() as report:
                        warming.append((watched, report))
                    case MeasureEpochOf() as question:
                        asked.append((watched, question))
                    case None:
                        continue
        places = asyncio.Semaphore(_WARM_UPS_AT_ONCE)
        parts = list(_parts(asked))
        await asyncio.gather(
            *(self._report_warm_up(watched, report, failed, places=places) for watched, report in warming),
            *(self._measure(part, failed) for part in parts),
        )

    async def _report_warm_up(
        self, watched: Watched, report: ReportWarmUp, failed: Failed, *, places: asyncio.Semaphore
    ) -> None:
        async with places:
            with self._noting([watched], failed):
                await self._plane_of(watched).report_warm_up(watched.rollout.id, report)

    async def _measure(self, asked: Sequence[tuple[Watched, MeasureEpochOf]], failed: Failed) -> None:
        every = [watched for watched, _ in asked]
        with self._noting(every, failed):
            results: Sequence[Result[Measured] | None]
            try:
                results = await self._plane_of(every[0]).look([question for _, question in asked])
            except PartAwayError as error:
                failed.update((watched.rollout.id, error) for watched in every)
                results = [None] * len(every)
            measured: list[tuple[Watched, Measurement]] = []
            for watched, result in zip(every, results, strict=True):
                with self._noting([watched], failed):
                    measurement = self._measurement(watched, result)
                    if measurement is not None and self._is_news(watched, measurement):
                        measured.append((watched, measurement))
            await self._report(measured, failed)

    def _plane_of(self, watched: Watched) -> Plane:
        return self._plane.within(watched.workspace)

    def _is_news(self, watched: Watched, measurement: Measurement) -> bool:
        return self._sent.get(watched.rollout.id) != sent_of(measurement)

    def _measurement(self, watched: Watched, result: Result[Measured] | None) -> Measurement | None:
        """Return what is to be reported; without a result, the view is away."""
        answer, now_s = None if result is None else _answer_of(result), self._clock.monotonic()
        if answer is None or answer.watermark_ms is None:
            return unseen_measurement(watched, now_s=now_s)
        watched = self._picture.hear(watched, frozenset(answer.gateways), seen_s=now_s, now_ms=self._clock.now_ms())
        known = self._silent.get(watched.rollout.id, {})
        silent_s = self._silent[watched.rollout.id] = silent_since(known, answer, now_s=now_s)
        return measurement_of(watched, answer, now_s=now_s, silent_s=silent_s)

    async def _report(self, measured: Sequence[tuple[Watched, Measurement]], failed: Failed) -> None:
        if not measured:
            return
        with self._noting([watched for watched, _ in measured], failed):
            results = await self._plane_of(measured[0][0]).report_measurements(
                [MeasuredRollout(rollout_id=watched.rollout.id, measurement=each) for watched, each in measured]
            )
            for (watched, measurement), result in zip(measured, results, strict=True):
                with self._noting([watched], failed):
                    self._note_decision(watched, measurement, _answer_of(result))

    def _note_decision(self, watched: Watched, measurement: Measurement, judged: Judged) -> None:
        self._sent[watched.rollout.id] = sent_of(measurement)
        if judged.decision != "none":
            _log.info("step_judged", rollout_id=watched.rollout.id, decision=judged.decision, step=watched.rollout.step)

    @contextmanager
    def _noting(self, those: Sequence[Watched], failed: Failed) -> Iterator[None]:
        """Note an error of some rollouts, so that it ends no look at another."""
        try:
            yield
        except (PartAwayError, RefusedError) as error:
            failed.update((watched.rollout.id, error) for watched in those)
        except Exception as error:  # noqa: BLE001  a bug with one rollout must not end the looks at all others
            self._background.failed("judge-looks", error)
            failed.update((watched.rollout.id, error) for watched in those)

    def _settle(self, watched: Watched, error: Exception | None) -> None:
        """Look again at the next interval, or after an error less and less often."""
        if error is None:
            self._back_off.pop(watched.rollout.id, None)
            self._quiet_until.pop(watched.rollout.id, None)
            return
        self.failed_looks += 1
        wait_s = min(_MAX_BACK_OFF_S, 2 * self._back_off.get(watched.rollout.id, _FIRST_BACK_OFF_S / 2))
        self._back_off[watched.rollout.id] = wait_s
        self._quiet_until[watched.rollout.id] = self._clock.monotonic() + wait_s
        _log.warning("look_failed", rollout_id=watched.rollout.id, error=str(error), wait_s=wait_s)


def _parts(asked: Sequence[tuple[Watched, MeasureEpochOf]]) -> Iterator[Sequence[tuple[Watched, MeasureEpochOf]]]:
    """Divide questions into those that can be asked together: of one workspace, and not too many."""
    of_workspace: defaultdict[str, list[tuple[Watched, MeasureEpochOf]]] = defaultdict(list)
    for each in asked:
        of_workspace[each[0].workspace].append(each)
    for together in of_workspace.values():
        for first in range(0, len(together), MAX_ITEMS):
            yield together[first : first + MAX_ITEMS]


def _answer_of(result: Result[Answer]) -> Answer:
    if result.answer is None:
        raise RefusedError(str(result.problem))
    return result.answer
