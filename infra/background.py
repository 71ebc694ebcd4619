"""Long-lived threads and tasks: whatever ends one is logged and counted, and the work begins again."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import msgspec
import structlog

from infra.metrics import Metrics

AsyncWork: TypeAlias = Callable[[], Coroutine[Any, Any, None]]

FAILURES_MEAN = "Failures of long-lived threads and tasks."
FAILING_MEANS = "1 where such work failed within the last minute."
_FAILING_S = 60.0
_LOG_EVERY_S = 1.0
_log = structlog.get_logger(__name__)


class BackOff(msgspec.Struct, frozen=True, kw_only=True):
    """How long work pauses after a failure: twice as long each time, until it has gone well for a while."""

    first_s: float = 0.1
    max_s: float = 10.0
    forget_after_s: float = 60.0

    def after(self, pause_s: float, *, lived_s: float) -> float:
        """Return the pause that follows one of `pause_s`; 0 was none."""
        if not pause_s or lived_s >= self.forget_after_s:
            return self.first_s
        return min(self.max_s, 2 * pause_s)


class Background:
    """The long-lived work of one program, by name. Safe from any thread.

    Work that returns has ended; work that fails is started again after a pause, for as long as the program
    lives. What failed within the last minute counts as failing: readiness, metrics and `rollbook status` tell it.
    """

    def __init__(self, *, back_off: BackOff | None = None, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._back_off = back_off or BackOff()
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._failures: Counter[str] = Counter()
        self._failed_at: dict[str, float] = {}
        self._logged_at: dict[str, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def failures(self) -> dict[str, int]:
        """Return how often each work has failed since the program began."""
        with self._lock:
            return dict(self._failures)

    @property
    def failing(self) -> tuple[str, ...]:
        """Return the names of what failed within the last minute."""
        now = self._monotonic()
        with self._lock:
            return tuple(sorted(name for name, at in self._failed_at.items() if now - at < _FAILING_S))

    def task(self, name: str, work: AsyncWork) -> asyncio.Task[None]:
        """Run work in the running loop until it returns or its task is cancelled."""
        self._register(name)
        task = asyncio.create_task(self._keep(name, work), name=name)
        # The loop itself holds its tasks only weakly.
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def thread(self, name: str, work: Callable[[], None], *, stopping: threading.Event) -> threading.Thread:
        """Run work in a thread of its own until it returns; it is not started again once it is to stop."""
        self._register(name)
        thread = threading.Thread(target=self._keep_thread, args=(name, work, stopping), name=name, daemon=True)
        thread.start()
        return thread

    @asynccontextmanager
    async def running(self, works: Mapping[str, AsyncWork]) -> AsyncIterator[None]:
        """Run work beside the block, and end it with the block."""
        tasks = [self.task(name, work) for name, work in works.items()]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def failed(self, name: str, error: BaseException) -> None:
        """Log and count a failure that the work got over by itself."""
        now = self._monotonic()
        with self._lock:
            self._failures[name] += 1
            self._failed_at[name] = now
            is_quiet = now - self._logged_at.get(name, -_LOG_EVERY_S) < _LOG_EVERY_S
            if not is_quiet:
                self._logged_at[name] = now
        if not is_quiet:
            _log.error("background_work_failed", work=name, failures=self._failures[name], exc_info=error)

    def show_in(self, metrics: Metrics) -> None:
        """Show failures among a program's metrics."""
        metrics.counters(
            "rollbook_background_failures",
            FAILURES_MEAN,
            label="work",
            read=lambda: {**self.failures},
        )
        metrics.gauges(
            "rollbook_background_failing",
            FAILING_MEANS,
            label="work",
            read=lambda: {name: float(name in self.failing) for name in self.failures},
        )

    def _register(self, name: str) -> None:
        with self._lock:
            self._failures.setdefault(name, 0)

    async def _keep(self, name: str, work: AsyncWork) -> None:
        pause_s = 0.0
        while True:
            began = self._monotonic()
            try:
                return await work()
            except asyncio.CancelledError as error:
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise
                # Not ours: what it waited for was cancelled.
                self.failed(name, error)
            except Exception as error:  # noqa: BLE001  the rim of a task
                self.failed(name, error)
            pause_s = self._back_off.after(pause_s, lived_s=self._monotonic() - began)
            await asyncio.sleep(pause_s)

    def _keep_thread(self, name: str, work: Callable[[], None], stopping: threading.Event) -> None:
        pause_s = 0.0
        while True:
            began = self._monotonic()
            try:
                return work()
            except BaseException as error:  # noqa: BLE001  the rim of a thread, in which even SystemExit ends nothing else
                self.failed(name, error)
            pause_s = self._back_off.after(pause_s, lived_s=self._monotonic() - began)
            if stopping.wait(pause_s):
                return None
