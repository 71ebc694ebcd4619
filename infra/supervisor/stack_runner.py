"""Runs a plan: starts in order of dependency, keeps running, stops in reverse, leaves nothing."""

import asyncio
import os
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import psutil
import structlog

from infra.background import Background
from infra.clock import Clock, SystemClock
from infra.data_directory import DataDirectory
from infra.errors import CannotStartError
from infra.parent_death import adopt_orphans
from infra.supervisor.log_file import LogFile
from infra.supervisor.plan import ProgramSpec, check_plan
from infra.supervisor.process import SupervisedProgram
from infra.supervisor.status import StackStatus, write_status

_HOUSEKEEPING_SECONDS = 1.0
_ORPHAN_SECONDS = 5.0
_log = structlog.get_logger(__name__)


class StackRunner:
    """The life of one stack; the caller holds the lock of the data directory."""

    def __init__(
        self,
        data: DataDirectory,
        plan: Sequence[ProgramSpec],
        *,
        clock: Clock | None = None,
        own_log: LogFile | None = None,
    ) -> None:
        check_plan(plan)
        self._own_log = own_log
        self._data = data
        self._clock = clock or SystemClock()
        self._state, self._since_ms = "starting", self._clock.now_ms()
        self._reason: str | None = None
        self._programs: dict[str, SupervisedProgram] = {}
        for spec in plan:
            log = LogFile(data.logs / f"{spec.name}.log")
            self._programs[spec.name] = SupervisedProgram(spec, log, clock=self._clock, on_change=self._publish)

    async def run(self, stopping: asyncio.Event) -> None:
        """Bring everything up, hold it until told to stop, bring everything down.

        Raises CannotStartError, after everything is down again, when a program could not start.
        """
        adopt_orphans()
        started = self._clock.monotonic()
        self._publish()
        background = Background()
        tasks = [
            background.task(f"supervise-{name}", partial(self._run_program, program))
            for name, program in self._programs.items()
        ]
        housekeeping = background.task("housekeeping", self._run_housekeeping)
        failure: CannotStartError | None = None
        try:
            await self._wait_until_ready(stopping)
            if not stopping.is_set():
                self._change("ready")
                _log.info("stack_ready", seconds=round(self._clock.monotonic() - started, 2))
            await stopping.wait()
        except CannotStartError as error:
            failure = error
        finally:
            self._change("stopping")
            await self._stop_all()
            await _cancelled([*tasks, housekeeping])
            await _end_descendants()
            self._change("failed" if failure else "stopped", reason=str(failure) if failure else None)
        if failure:
            raise failure

    async def _run_program(self, program: SupervisedProgram) -> None:
        try:
            for name in program.spec.depends_on:
                await asyncio.shield(self._programs[name].first_ready)
        except CannotStartError:
            return  # Who waits for all to be ready hears of it, and stops the stack.
        await program.run()

    async def _wait_until_ready(self, stopping: asyncio.Event) -> None:
        ready = asyncio.gather(*(program.first_ready for program in self._programs.values()))
        asked = asyncio.create_task(stopping.wait())
        try:
            waiting: set[asyncio.Future[Any]] = {ready, asked}
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if ready.done():
                ready.result()
        finally:
            await _cancelled([ready, asked])

    async def _stop_all(self) -> None:
        """Stop those on which nothing that runs depends, then the next, until none is left."""
        for program in self._programs.values():
            program.let_go()
        left = dict(self._programs)
        while left:
            needed = {name for program in left.values() for name in program.spec.depends_on}
            loose = [program for name, program in left.items() if name not in needed]
            await asyncio.gather(*(program.stop() for program in loose))
            for program in loose:
                del left[program.spec.name]

    async def _run_housekeeping(self) -> None:
        while True:
            await asyncio.sleep(_HOUSEKEEPING_SECONDS)
            for program in self._programs.values():
                program.log.rotate()
            if self._own_log is not None:
                self._own_log.rotate()
            self._reap_adopted()

    def _reap_adopted(self) -> None:
        own = {program.pid for program in self._programs.values()}
        for child in psutil.Process().children():
            if child.pid not in own and child.status() == psutil.STATUS_ZOMBIE:
                with suppress(ChildProcessError):
                    os.waitpid(child.pid, os.WNOHANG)

    def _change(self, state: str, *, reason: str | None = None) -> None:
        self._state, self._since_ms, self._reason = state, self._clock.now_ms(), reason
        self._publish()

    def _publish(self) -> None:
        status = StackStatus(
            state=self._state,
            pid=os.getpid(),
            since_ms=self._since_ms,
            programs=tuple(program.status for program in self._programs.values()),
            reason=self._reason,
        )
        try:
            write_status(self._data.root, status)
        except OSError as error:
            # A full disk must not take down what still runs.
            _log.exception("status_not_written", error=error.strerror)


async def _cancelled(tasks: Sequence[asyncio.Future[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _end_descendants() -> None:
    """End what programs left behind and what was adopted from them."""
    left = psutil.Process().children(recursive=True)
    for act in (psutil.Process.terminate, psutil.Process.kill):
        for process in left:
            with suppress(psutil.NoSuchProcess):
                act(process)
        _, left = await asyncio.to_thread(psutil.wait_procs, left, _ORPHAN_SECONDS)
