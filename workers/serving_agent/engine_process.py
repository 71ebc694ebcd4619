"""An engine as an operating system process: started so that it survives the agent, adopted by identity, and ended."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Protocol

import msgspec
import psutil

from infra.confinement.confine import VARIABLE
from workers.serving_agent.launchers.base import Command

_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV", "LD_LIBRARY_PATH")
"""What an engine needs from the agent's environment.

No tokens, no settings of other programs, and no PYTHONDONTWRITEBYTECODE, because recompiling scikit-learn would take
most of a start.
"""

SAME_START_S = 0.05
_LARGE_LOG_BYTES = 16 * 1024 * 1024


class Process(Protocol):
    """The process of an engine, from its start or adoption to its end."""

    @property
    def pid(self) -> int:
        """Return the process id that the engine reports."""
        ...

    @property
    def started_at(self) -> float:
        """Return when the process started according to the kernel, in seconds since 1970, or 0 if it is gone."""
        ...

    @property
    def has_ended(self) -> bool:
        """Return whether the engine is gone."""
        ...

    async def wait(self, timeout_s: float | None = None) -> bool:
        """Return True once the engine has ended, or False if time runs out first."""
        ...

    async def stop(self, *, deadline_s: float) -> None:
        """Ask the engine to stop, and kill it if it does not."""
        ...


class EngineProcess:
    """A process held by its pidfd, so that signals cannot reach another process that reuses its id."""

    def __init__(self, pid: int, *, child: subprocess.Popen[bytes] | None, pidfd: int | None = None) -> None:
        self._pid = pid
        self._child = child
        self._descriptor = os.pidfd_open(pid) if pidfd is None else pidfd
        self._ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._descriptor, self._end)

    @property
    def pid(self) -> int:
        return self._pid

    @property
    def started_at(self) -> float:
        try:
            return float(psutil.Process(self.pid).create_time())
        except psutil.NoSuchProcess:
            return 0.0

    @property
    def has_ended(self) -> bool:
        return self._ended.is_set()

    async def wait(self, timeout_s: float | None = None) -> bool:
        return await is_set_within(self._ended, timeout_s)

    async def stop(self, *, deadline_s: float) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            self._send(number)
            if await self.wait(deadline_s):
                return

    def terminate(self) -> None:
        """Ask the process to stop."""
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the process."""
        self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        if not self.has_ended:
            # It may already be gone without the loop knowing yet.
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._descriptor, number)

    def release(self) -> None:
        """Release a process that is not ours."""
        if not self.has_ended:
            asyncio.get_running_loop().remove_reader(self._descriptor)
            os.close(self._descriptor)

    def _end(self) -> None:
        asyncio.get_running_loop().remove_reader(self._descriptor)
        os.close(self._descriptor)
        if self._child is not None:
            self._child.wait()
        self._ended.set()


async def is_set_within(event: asyncio.Event, timeout_s: float | None) -> bool:
    """Wait for an event; return False if time runs out first."""
    try:
        await asyncio.wait_for(event.wait(), timeout_s)
    except TimeoutError:
        return False
    return True


def start_engine(command: Command, *, environ: Mapping[str, str], log: Path) -> EngineProcess:
    """Start an engine in its own session, with its output appended to a log.

    Raises:
        OSError: the log cannot be written or the process cannot be started.
    """
    with engine_log(log) as output:
        child = subprocess.Popen(
            command.arguments,
            env=environment_of(command, environ),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    return EngineProcess(child.pid, child=child)


def environment_of(command: Command, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the whole environment of a process: what it inherits from ours, and its own."""
    inherited = {name: environ[name] for name in _INHERITED if name in environ}
    confinement = command.confinement
    told = {VARIABLE: msgspec.json.encode(confinement).decode()} if confinement is not None else {}
    return {**inherited, **settings_of(command, environ), **told}


def settings_of(command: Command, environ: Mapping[str, str]) -> dict[str, str]:
    """Return a process's settings: the operator's for all processes of its kind, and its own."""
    return {**{name: environ[name] for name in command.inherits if name in environ}, **command.environment}


def engine_log(log: Path) -> IO[bytes]:
    """Open a log for appending; rotate a large one first.

    Raises:
        OSError: it cannot be written.
    """
    if log.exists() and log.stat().st_size > _LARGE_LOG_BYTES:
        log.replace(log.with_suffix(".log.1"))
    return log.open("ab")


def find_engine(pid: int, *, started_at: float) -> EngineProcess | None:
    """Return a process that an earlier agent started, or None if it is gone or its id was reused."""
    try:
        process = EngineProcess(pid, child=None)
    except ProcessLookupError:
        return None
    # The pidfd is held now, so the id that is checked here can no longer change its owner.
    if abs(process.started_at - started_at) < SAME_START_S and _is_in_use(pid):
        return process
    process.release()
    return None


def end_session(pid: int) -> None:
    """Kill what an ended engine left behind: its own processes are all in the session that it led."""
    if not pid or _is_in_use(pid):
        # The id was reused, so the session belongs to another process.
        return
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, ProcessLookupError):
            if os.getsid(process.pid) == pid:
                process.kill()


def _is_in_use(pid: int) -> bool:
    try:
        # A fork's parent may need a moment to notice its end.
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
