"""Looks at each monitor when a window of it may be complete. A second watcher would measure the same."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Protocol

import msgspec
import structlog

from infra.background import Background, BackOff
from infra.clock import Clock
from infra.kafka.serving_state import Documents
from schemas.documents.monitors import Monitor
from schemas.events.monitors import Look
from schemas.feature_summaries import AskFeatureSummaries, FeatureSummaries
from schemas.measurement import Watermark
from workers.drift_watch.control_plane import Answered, FixedReport
from workers.drift_watch.errors import DriftWatchError, NoAnswerError, TooLargeAnswerError
from workers.drift_watch.looks import (
    Progress,
    Windows,
    after,
    begin,
    complete_until_ms,
    look_of,
    read_reference,
    windows_of,
    written_reference,
)
from workers.drift_watch.picture import Picture
from workers.drift_watch.reference import MIN_ROWS, Features

WORK = "drift-looks"
_WINDOWS_AT_ONCE = 48
_MAX_FEATURES = 500
_BACK_OFF = BackOff(first_s=2.0, max_s=60.0)
_EXPIRING_MS = 24 * 3_600_000
_log = structlog.get_logger(__name__)


class Plane(Protocol):
    """What the drift watch needs from the control plane."""

    def within(self, workspace: str | None) -> "Plane": ...
    async def summaries(self, endpoint_id: str, asked: AskFeatureSummaries) -> FeatureSummaries: ...
    async def leave_out(self, monitor_id: str, deployment_ids: tuple[str, ...]) -> None: ...
    async def report_reference(self, monitor_id: str, report: FixedReport) -> None: ...
    async def report_look(self, monitor_id: str, look: Look) -> Answered: ...
    async def keep(self, content: bytes) -> str: ...
    async def kept(self, digest: str) -> bytes: ...


class Watcher:
    """Keeps what the windows of each monitor came to, so that a look reads only what is new."""

    def __init__(self, plane: Plane, *, clock: Clock, background: Background) -> None:
        self._plane = plane
        self._clock = clock
        self._background = background
        self._picture = Picture()
        self._progress: dict[str, Progress] = {}
        self._reported: dict[str, Look] = {}
        self._pauses: dict[str, float] = {}
        self._quiet_until: dict[str, float] = {}
        self.looks = 0
        self.failed_looks = 0

    @property
    def monitors(self) -> Mapping[str, Monitor]:
        """Return the monitors, paused ones too."""
        return self._picture.monitors

    @property
    def position(self) -> int:
        """Return the position in the log of the last event whose document was seen."""
        return self._picture.position

    async def follow(self, documents: AsyncIterator[Documents], *, on_ready: Callable[[], None]) -> None:
        """Take in documents until they cannot be read."""
        async for read in documents:
            self._picture.take(read)
            if read.is_all:
                _log.info("drift_watch_follows_documents", position=self.position, monitors=len(self.monitors))
                on_ready()

    async def look_at_all(self) -> None:
        """Look once at each monitor that is due. Trouble with one ends no look at another."""
        self._forget_removed()
        for monitor in list(self.monitors.values()):
            if self._clock.monotonic() < self._quiet_until.get(monitor.id, 0.0):
                continue
            try:
                await self._look_at(monitor)
            except NoAnswerError as error:
                self._failed(monitor, error)
            except DriftWatchError as error:
                # The windows do not fit what was seen of them before: read all of them anew.
                self._progress.pop(monitor.id, None)
                self._failed(monitor, error)
            except Exception as error:  # noqa: BLE001  a bug with one monitor must not end the looks at all others
                self._progress.pop(monitor.id, None)
                self._background.failed(WORK, error)
                self._failed(monitor, error)

    async def _look_at(self, monitor: Monitor) -> None:
        plane, shadows = self._plane.within(monitor.workspace), self._picture.shadows(monitor)
        if shadows is not None and shadows != monitor.left_out and monitor.outcome != "drift":
            await plane.leave_out(monitor.id, shadows)
            return
        if monitor.phase == "learning":
            self.looks += 1
            await self._fix_reference(monitor, plane)
        elif monitor.phase == "watching":
            await self._look(monitor, plane)

    async def _fix_reference(self, monitor: Monitor, plane: Plane) -> None:
        """Keep the windows of the reference, which are whole, once all of them are in the view."""
        from_ms, until_ms = monitor.stretch.whole_windows(monitor.terms.window_ms)
        windows, mark = await self._read(
            plane, monitor, from_ms=from_ms, until_ms=until_ms, deployments=monitor.stretch.deployment_ids
        )
        is_complete = mark.watermark_ms is None or mark.watermark_ms >= until_ms - 1
        if not is_complete:
            self._wait(monitor)
            return
        features = sorted({name for window in windows.values() for name in window})
        rows = sum(max(each.rows for each in window.values()) for window in windows.values())
        report = FixedReport(
            digest=None, windows=len(windows), rows=rows, unusable_because=_lack(monitor, features, rows)
        )
        if report.unusable_because:
            self._wait(monitor)
        else:
            digest = await plane.keep(written_reference(windows))
            report = msgspec.structs.replace(report, digest=digest, features=tuple(features[:_MAX_FEATURES]))
        await plane.report_reference(monitor.id, report)

    async def _look(self, monitor: Monitor, plane: Plane) -> None:
        now_ms, window_ms = self._clock.now_ms(), monitor.terms.window_ms
        progress = await self._progress_of(monitor, plane)
        reported = self._reported.get(monitor.id)
        is_reported = reported is not None and reported.until_ms == progress.until_ms
        if now_ms < progress.until_ms + window_ms and is_reported:
            return
        self.looks += 1
        mark: Watermark | None = None
        if now_ms >= progress.until_ms + window_ms:
            windows, mark = await self._read(
                plane,
                monitor,
                from_ms=progress.until_ms,
                until_ms=now_ms // window_ms * window_ms,
                left_out=monitor.left_out,
            )
            complete_ms = complete_until_ms(monitor.terms, mark.watermark_ms, now_ms)
            advanced = await asyncio.to_thread(after, progress, windows, until_ms=complete_ms)
            if advanced.until_ms == progress.until_ms:
                self._wait(monitor)
            else:
                self._pauses.pop(monitor.id, None)
            self._progress[monitor.id] = progress = advanced
        look = look_of(progress, monitor, now_ms=now_ms, why_late=_why_late(mark))
        if look != reported:
            answered = await plane.report_look(monitor.id, look)
            self._reported[monitor.id] = look
            _log.info("monitor_looked_at", monitor=monitor.name, outcome=answered.outcome, until_ms=look.until_ms)

    async def _progress_of(self, monitor: Monitor, plane: Plane) -> Progress:
        """Return what is known of a monitor's windows; nothing, if its evidence has begun anew."""
        assert monitor.reference is not None, "a monitor that is watching has a reference"
        known, digest = self._progress.get(monitor.id), monitor.reference.digest
        made_from = (monitor.begun_at_version, digest)
        if known is not None and (known.begun_at_version, known.reference_digest) == made_from:
            return known
        reference = read_reference(await plane.kept(digest))
        progress = await asyncio.to_thread(begin, monitor, reference)
        self._progress[monitor.id] = progress
        self._reported.pop(monitor.id, None)
        return progress

    async def _read(
        self,
        plane: Plane,
        monitor: Monitor,
        *,
        from_ms: int,
        until_ms: int,
        deployments: tuple[str, ...] = (),
        left_out: tuple[str, ...] = (),
    ) -> tuple[Windows, Watermark]:
        """Read windows in parts that fit in an answer; the watermark is that of the first part, which is the oldest."""
        windows: dict[int, Features] = {}
        first: Watermark | None = None
        # What expires while it is read is not there any more.
        texts_from_ms = self._clock.now_ms() - self._picture.texts_kept_ms(monitor) + _EXPIRING_MS
        at_ms, step_ms = from_ms, _WINDOWS_AT_ONCE * monitor.terms.window_ms
        while at_ms < until_ms:
            to_ms = min(at_ms + step_ms, until_ms)
            asked = AskFeatureSummaries(
                from_ms=at_ms, to_ms=to_ms, window_ms=monitor.terms.window_ms, features=monitor.terms.features
            )
            try:
                answer = await plane.summaries(monitor.endpoint_id, asked)
            except TooLargeAnswerError:
                if step_ms == monitor.terms.window_ms:
                    raise
                step_ms = max(step_ms // 4 // monitor.terms.window_ms, 1) * monitor.terms.window_ms
                continue
            windows |= windows_of(
                answer.items,
                monitor.terms,
                deployments=deployments,
                left_out=left_out,
                texts_from_ms=texts_from_ms,
            )
            first, at_ms = first or answer.watermark, to_ms
        assert first is not None, "there is at least one window"
        return windows, first

    def _wait(self, monitor: Monitor) -> None:
        """Let a monitor be for longer and longer, while there is nothing to be done."""
        pause_s = _BACK_OFF.after(self._pauses.get(monitor.id, 0.0), lived_s=0.0)
        self._pauses[monitor.id] = pause_s
        self._quiet_until[monitor.id] = self._clock.monotonic() + pause_s

    def _failed(self, monitor: Monitor, error: Exception) -> None:
        self.failed_looks += 1
        self._wait(monitor)
        _log.warning("look_failed", monitor=monitor.name, workspace=monitor.workspace, error=str(error))

    def _forget_removed(self) -> None:
        for remembered in (self._progress, self._reported, self._pauses, self._quiet_until):
            for monitor_id in remembered.keys() - self.monitors.keys():
                del remembered[monitor_id]


def _lack(monitor: Monitor, features: list[str], rows: int) -> str:
    missing = [each for each in monitor.terms.features if each not in features]
    if missing:
        return f"Nothing of {missing[0]} was captured in the stretch of the reference, or it is not kept any more."
    if not features:
        return "Nothing that this monitor watches was captured in the stretch of its reference."
    if rows < MIN_ROWS:
        return f"The stretch of the reference has {rows} rows; at least {MIN_ROWS} are needed."
    return ""


def _why_late(mark: Watermark | None) -> str:
    return f": the view waits for {', '.join(mark.waiting_for)}" if mark is not None and mark.waiting_for else ""
