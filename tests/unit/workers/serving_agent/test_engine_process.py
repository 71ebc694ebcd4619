"""An engine's end is the end of everything that it has started."""

import os
import signal
import sys
import time
from pathlib import Path

import psutil

from workers.serving_agent.engine_process import end_session, start_engine
from workers.serving_agent.launchers.base import Command

DEADLINE_S = 180
# Starts a child that outlives it, tells its id, and waits.
PARENT = (
    "import subprocess, sys, time\n"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
    "print(child.pid, flush=True)\n"
    "time.sleep(600)\n"
)


async def test_what_a_killed_engine_left_behind_is_ended(tmp_path: Path) -> None:
    log = tmp_path / "log"
    engine = start_engine(Command(arguments=(sys.executable, "-c", PARENT), environment={}), environ={}, log=log)
    deadline = time.monotonic() + DEADLINE_S
    while not log.read_text().endswith("\n"):
        assert time.monotonic() < deadline
        await engine.wait(0.01)
    child = psutil.Process(int(log.read_text()))

    end_session(engine.pid)
    assert child.is_running(), "the engine lives, so its session is left alone"

    os.kill(engine.pid, signal.SIGKILL)
    assert await engine.wait(DEADLINE_S)
    end_session(engine.pid)
    deadline = time.monotonic() + DEADLINE_S
    while not has_ended(child):
        assert time.monotonic() < deadline
        await engine.wait(0.01)


def has_ended(process: psutil.Process) -> bool:
    try:
        # No one may have taken note of its end yet.
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
