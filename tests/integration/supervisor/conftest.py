"""Small real programs under a real supervisor process."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from infra.supervisor.status import StackStatus, read_status

CHILDREN = Path(__file__).with_name("children.py")
DEADLINE_SECONDS = 180.0


def eventually(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(0.02)


class Stack:
    """A supervisor with a plan of the test's own, in a process of its own."""

    def __init__(self, folder: Path, plan: str) -> None:
        self.folder = folder
        self._script = folder.with_suffix(".py")
        self._script.write_text(_PROGRAM.format(children=CHILDREN, plan=textwrap.indent(textwrap.dedent(plan), "    ")))
        self.output = folder.with_suffix(".out")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> "Stack":
        with self.output.open("ab") as output:
            self.process = subprocess.Popen([sys.executable, self._script, self.folder], stdout=output, stderr=output)
        return self

    def status(self) -> StackStatus:
        status = read_status(self.folder)
        assert status is not None
        return status

    def pids(self) -> dict[str, int]:
        return {program.name: program.pid for program in self.status().programs if program.pid}

    def until_ready(self) -> "Stack":
        def ready() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, self.output.read_text()
            status = read_status(self.folder)
            return status is not None and status.state == "ready" and status.pid == self.process.pid

        eventually(ready, "the stack is ready")
        return self

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(DEADLINE_SECONDS)


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Callable[..., Stack]]:
    made: list[Stack] = []

    def make(plan: str, *, name: str = "data") -> Stack:
        made.append(Stack(tmp_path / name, plan))
        return made[-1]

    yield make
    for each in made:
        if each.process is not None and each.process.poll() is None:
            each.process.kill()
            each.process.wait()


def is_gone(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def events(stack: Stack) -> list[dict[str, object]]:
    return [json.loads(line) for line in stack.output.read_text().splitlines() if line.startswith("{")]


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


_PROGRAM = """
import asyncio, sys
from pathlib import Path
from infra.data_directory import exclusive, open_data_directory
from infra.shutdown import run_program
from infra.launch import launched_command
from infra.supervisor.plan import *
from infra.supervisor.stack_runner import StackRunner

root = Path(sys.argv[1])

def child(*role):
    return launched_command(sys.executable, "{children}", *role)

def plan(data):
{plan}

async def main(stopping):
    data = open_data_directory(root, min_free_bytes=1)
    with exclusive(data):
        await StackRunner(data, plan(data)).run(stopping)

sys.exit(run_program("supervisor", main, drain_seconds=30))
"""
