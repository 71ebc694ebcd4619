"""One program under supervision: started, watched until ready, started again, stopped."""

import asyncio
import os
import random
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import structlog

from infra.clock import Clock
from infra.errors import EXIT_CANNOT_START, CannotStartError
from infra.launch import LAUNCHED_BY
from infra.supervisor.log_file import LogFile
from infra.supervisor.plan import FileReady, ProgramSpec, is_of_process, is_ready
from infra.supervisor.status import ProgramStatus, cannot_start_reason

_POLL_SECONDS = 0.05
_log = structlog.get_logger(__name__)


class SupervisedProgram:
    """Runs one program for as long as its supervisor wants it.

    ``first_ready`` is done when the program was ready once, or failed with a
    CannotStartError when it will not be.
    """

    def __init__(self, spec: ProgramSpec, log: LogFile, *, clock: Clock, on_change: Callable[[], None]) -> None:
        self.spec = spec
        self.log = log
        self.first_ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._clock = clock
        self._on_change = on_change
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = asyncio.Event()
        self._state, self._since_ms = "waiting", clock.now_ms()
        self._starts = self._deaths = 0
        self._reason = ""

    @property
    def status(self) -> ProgramStatus:
        return ProgramStatus(
            name=self.spec.name,
            state=self._state,
            pid=self.pid,
            addresses=self.spec.addresses,
            metrics=self.spec.metrics,
            restarts=max(0, self._starts - 1),
            since_ms=self._since_ms,
            region=self.spec.region,
        )

    @property
    def pid(self) -> int | None:
        running = self._process is not None and self._process.returncode is None
        return self._process.pid if running and self._process else None

    async def run(self) -> None:
        """Keep the program running until it is stopped, or until its start fails for good."""
        while not self._stopping.is_set():
            was_ready_at = await self._live_once()
            if self._stopping.is_set():
                break
            lived = self._clock.monotonic() - was_ready_at if was_ready_at is not None else 0.0
            self._deaths = 1 if lived > self.spec.restart.forget_after_seconds else self._deaths + 1
            if not self.first_ready.done() and self._is_hopeless():
                self._change("stopped")
                self.first_ready.set_exception(CannotStartError(self._reason))
                return
            await self._pause()
        self._change("stopped")

    def let_go(self) -> None:
        """Do not start the program again; a running one continues until ``stop``."""
        self._stopping.set()

    async def stop(self) -> None:
        """Ask the program to end, wait its time, then kill it. Returns when it is gone."""
        self.let_go()
        process = self._process
        if process is None or process.returncode is not None:
            return
        self._change("stopping")
        _signal(process, signal.SIGTERM)
        try:
            async with asyncio.timeout(self.spec.stop_seconds):
                await process.wait()
        except TimeoutError:
            _log.warning("program_killed", name=self.spec.name, after_seconds=self.spec.stop_seconds)
            _signal(process, signal.SIGKILL)
            await process.wait()

    async def _live_once(self) -> float | None:
        try:
            process = await self._start()
        except OSError as error:
            # Too little disk, memory or handles, or no such command: as good as a death.
            self._process, self._reason = None, f"{self.spec.name} could not start: {error}"
            _log.warning("program_not_started", name=self.spec.name, error=str(error))
            return None
        watch = asyncio.create_task(self._watch_readiness())
        code = await process.wait()
        watch.cancel()
        with suppress(asyncio.CancelledError):
            await watch
        was_ready_at = None if watch.cancelled() else watch.result()
        if not self._stopping.is_set():
            self._reason = self._describe(code)
            _log.warning("program_died", name=self.spec.name, code=code, was_ready=was_ready_at is not None)
        return was_ready_at

    async def _start(self) -> asyncio.subprocess.Process:
        self._forget_readiness()
        handle = self.log.open()
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self.spec.argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=handle,
                stderr=handle,
                # Ctrl-C in a terminal reaches the supervisor alone, which stops the programs in order.
                start_new_session=True,
                env={**_inherited(), **self.spec.environment, LAUNCHED_BY: str(os.getpid())},
            )
        finally:
            os.close(handle)
        self._starts += 1
        self._change("starting")
        _log.info("program_started", name=self.spec.name, pid=self._process.pid)
        return self._process

    def _forget_readiness(self) -> None:
        if isinstance(self.spec.ready, FileReady):
            Path(self.spec.ready.path).unlink(missing_ok=True)

    async def _watch_readiness(self) -> float | None:
        deadline = self._clock.monotonic() + self.spec.ready_seconds
        while not await self._is_ready():
            if self._clock.monotonic() > deadline:
                _log.error("program_not_ready", name=self.spec.name, seconds=self.spec.ready_seconds)
                self._fail_first_ready(f"it was not ready after {self.spec.ready_seconds:.0f} s")
                if self._process is not None:
                    _signal(self._process, signal.SIGKILL)
                return None
            await asyncio.sleep(_POLL_SECONDS)
        if self.pid is None:
            return None
        self._change("ready")
        _log.info("program_ready", name=self.spec.name)
        if not self.first_ready.done():
            self.first_ready.set_result(None)
        return self._clock.monotonic()

    async def _is_ready(self) -> bool:
        if not await is_ready(self.spec.ready):
            return False
        pid = self.pid
        return pid is None or await asyncio.to_thread(is_of_process, self.spec.ready, pid)

    def _is_hopeless(self) -> bool:
        code = self._process.returncode if self._process else None
        return code == EXIT_CANNOT_START or self._deaths > self.spec.restart.deaths_before_ready

    def _fail_first_ready(self, what: str) -> None:
        if not self.first_ready.done():
            self.first_ready.set_exception(
                CannotStartError(f"{self.spec.name} could not start: {what}; see {self.log.path}")
            )

    def _describe(self, code: int) -> str:
        said = cannot_start_reason(self.log.tail()) if code == EXIT_CANNOT_START else None
        return said or f"{self.spec.name} could not start: it ended with code {code}; see {self.log.path}"

    async def _pause(self) -> None:
        self._change("restarting")
        seconds = self.spec.restart.wait_seconds(self._deaths) * random.uniform(0.8, 1.2)  # noqa: S311 - jitter
        _log.info("program_restarts", name=self.spec.name, after_seconds=round(seconds, 3))
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    def _change(self, state: str) -> None:
        self._state, self._since_ms = state, self._clock.now_ms()
        self._on_change()


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        process.send_signal(number)


def _inherited() -> dict[str, str]:
    # Without bytecode files every start compiles its libraries again: 10 s instead of 4 for an engine.
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
