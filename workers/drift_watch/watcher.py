"""Looks at each monitor when a window of it may be complete. Two watchers at once only look twice."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Protocol

import msgspec
import structlog

from infra.background import Background
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
_log = structlog.get_logger(__name__)


class Plane(Protocol):
    """What the drift watch needs from the control plane."""

    def within(self, workspace: str | None) -> "Plane": ...
    async def summaries(self, endpoint_id: str, asked: AskFeatureSummaries) -> FeatureSummaries: ...
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
        self._references: dict[str, list[Features]] = {}
        self._reported: dict[str, Look] = {}
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
        if monitor.phase == "learning":
            self.looks += 1
            await self._fix_reference(monitor)
        elif monitor.phase == "watching":
            await self._look(monitor)

    async def _fix_reference(self, monitor: Monitor) -> None:
        stretch, plane = monitor.stretch, self._plane.within(monitor.workspace)
        window_ms = monitor.terms.window_ms
        # Whole windows only: what a window lacks at its edges would look like a change.
        from_ms, until_ms = -(-stretch.from_ms // window_ms) * window_ms, stretch.until_ms // window_ms * window_ms
        until_ms = max(until_ms, from_ms + window_ms)
        windows, _ = await self._read(
            plane, monitor, from_ms=from_ms, until_ms=until_ms, deployments=stretch.deployment_ids
        )
        features = sorted({name for window in windows.values() for name in window})
        rows = sum(max(each.rows for each in window.values()) for window in windows.values())
        report = FixedReport(digest=None, windows=len(windows), rows=rows, unusable_because=_lack(features, rows))
        if not report.unusable_because:
            digest = await plane.keep(written_reference(windows))
            report = msgspec.structs.replace(report, digest=digest, features=tuple(features[:_MAX_FEATURES]))
        await plane.report_reference(monitor.id, report)

    async def _look(self, monitor: Monitor) -> None:
        plane, now_ms = self._plane.within(monitor.workspace), self._clock.now_ms()
        progress = await self._progress_of(monitor, plane)
        until_ms = progress.until_ms + monitor.terms.window_ms
        if now_ms < until_ms and monitor.id in self._reported:
            return
        self.looks += 1
        mark: Watermark | None = None
        if now_ms >= until_ms:
            windows, mark = await self._read(
                plane,
                monitor,
                from_ms=progress.until_ms,
                until_ms=now_ms // monitor.terms.window_ms * monitor.terms.window_ms,
                left_out=progress.left_out,
            )
            complete_ms = complete_until_ms(monitor.terms, mark.watermark_ms, now_ms)
            progress = await asyncio.to_thread(after, progress, windows, until_ms=complete_ms)
            self._progress[monitor.id] = progress
        look = look_of(progress, monitor, now_ms=now_ms, why_late=_why_late(mark))
        if look != self._reported.get(monitor.id):
            answered = await plane.report_look(monitor.id, look)
            self._reported[monitor.id] = look
            _log.info("monitor_looked_at", monitor=monitor.name, outcome=answered.outcome, until_ms=look.until_ms)

    async def _progress_of(self, monitor: Monitor, plane: Plane) -> Progress:
        """Return what is known of a monitor's windows; nothing, if what they are compared with has changed."""
        assert monitor.reference is not None, "a monitor that is watching has a reference"
        known, left_out = self._progress.get(monitor.id), self._picture.left_out(monitor)
        made_from = (monitor.since_ms, monitor.reference.digest, left_out)
        if known is not None and (known.since_ms, known.reference_digest, known.left_out) == made_from:
            return known
        digest = monitor.reference.digest
        if digest not in self._references:
            self._references[digest] = read_reference(await plane.kept(digest))
        progress = await asyncio.to_thread(begin, monitor, self._references[digest], left_out=left_out)
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
            windows |= windows_of(answer.items, monitor.terms, deployments=deployments, left_out=left_out)
            first, at_ms = first or answer.watermark, to_ms
        assert first is not None, "there is at least one window"
        return windows, first

    def _failed(self, monitor: Monitor, error: Exception) -> None:
        self.failed_looks += 1
        _log.warning("look_failed", monitor=monitor.name, workspace=monitor.workspace, error=str(error))

    def _forget_removed(self) -> None:
        for remembered in (self._progress, self._reported):
            for monitor_id in remembered.keys() - self.monitors.keys():
                del remembered[monitor_id]
        used = {each.reference.digest for each in self.monitors.values() if each.reference is not None}
        for digest in self._references.keys() - used:
            del self._references[digest]


_MAX_FEATURES = 500


def _lack(features: list[str], rows: int) -> str:
    if not features:
        return "Nothing that this monitor watches was captured in the stretch of its reference."
    if rows < MIN_ROWS:
        return f"The stretch of the reference has {rows} rows; at least {MIN_ROWS} are needed."
    return ""


def _why_late(mark: Watermark | None) -> str:
    return f": the view waits for {', '.join(mark.waiting_for)}" if mark is not None and mark.waiting_for else ""
