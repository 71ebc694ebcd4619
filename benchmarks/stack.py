"""The embedded stack, brought up and down by the commands that users type, on a directory of its own."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil

from rollbook import Rollbook
from rollbook.cli.profile import Profile
from rollbook.local_stack import StackStatus

MAX_REQUESTS_PER_SECOND = "1000000"
"""The API's limit for one caller: it counts the requests, and stops none."""
_UP_TIMEOUT_S = 180
_DOWN_TIMEOUT_S = 120
_DOWN_COMMAND_S = 90


class Stack:
    """A stack that is ready."""

    def __init__(self, data_dir: Path, *, ready_after_s: float) -> None:
        self.data_dir = data_dir
        self.ready_after_s = ready_after_s
        self._profile = Profile(data_dir=data_dir, url=None, token=None, workspace=None, as_json=False)

    @property
    def status(self) -> StackStatus:
        """What the supervisor wrote last."""
        status = self._profile.status()
        assert status is not None
        return status

    @property
    def api_url(self) -> str:
        """Where commands go."""
        return self._address("api")

    @property
    def gateway_url(self) -> str:
        """Where inference goes."""
        return self._address("envoy")

    @property
    def kafka_bootstrap(self) -> str:
        """Where Kafka answers."""
        return self._address("kafka")

    def token(self, role: str) -> str:
        """Return the stack's own token of a role, `admin` or `service`."""
        return (self.data_dir / "secrets" / f"{role}.token").read_text(encoding="utf-8").strip()

    def client(self, role: str = "admin") -> Rollbook:
        """Make a client with the stack's own token; the caller closes it."""
        return Rollbook(self.api_url, token=self.token(role))

    def processes(self) -> list[psutil.Process]:
        """Return the supervisor and all that descends from it."""
        supervisor = psutil.Process(self.status.pid)
        engines = [one for one in psutil.process_iter() if self._is_engine(one)]
        return list(dict.fromkeys([supervisor, *supervisor.children(recursive=True), *engines]))

    def name_of(self, process: psutil.Process) -> str:
        """Return what a process is of the stack: a program, or what one of them started."""
        named = {program.pid: program.name for program in self.status.programs}
        if (name := named.get(process.pid)) is not None:
            return name
        if process.pid == self.status.pid:
            return "supervisor"
        return "engines" if self._is_engine(process) else f"{process.name()} itself"

    def suspend(self, program: str) -> None:
        """Stop a program as a debugger does; it stays so until the stack ends."""
        (pid,) = (one.pid for one in self.status.programs if one.name == program)
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)

    def _is_engine(self, process: psutil.Process) -> bool:
        # Engines outlive their agent, so they are no one's children; the agent's book names them.
        books = self.data_dir.glob("agent/*/instances.json")
        return process.pid in {record["pid"] for book in books for record in json.loads(book.read_bytes())}

    def _address(self, program: str) -> str:
        address = self.status.address(program)
        assert address is not None
        return address


@contextmanager
def running_stack(data_dir: Path | None = None, *, settings: Mapping[str, str] | None = None) -> Iterator[Stack]:
    """Start the stack as `rollbook up --detach` does, with settings on top of the environment's; end it at the end."""
    with tempfile.TemporaryDirectory(prefix="rollbook-bench-", ignore_cleanup_errors=True) as temporary:
        directory = data_dir or Path(temporary) / "data"
        began = time.monotonic()
        up = ("up", "--detach", "--timeout", str(_UP_TIMEOUT_S))
        chosen = {"ROLLBOOK_API_REQUESTS_PER_SECOND_EACH": MAX_REQUESTS_PER_SECOND, **(settings or {})}
        _rollbook(directory, *up, timeout_s=_UP_TIMEOUT_S + 30, settings=chosen)
        try:
            yield Stack(directory, ready_after_s=time.monotonic() - began)
        finally:
            _rollbook(directory, "down", "--timeout", str(_DOWN_COMMAND_S), timeout_s=_DOWN_TIMEOUT_S)


def _rollbook(data_dir: Path, *arguments: str, timeout_s: float, settings: Mapping[str, str] | None = None) -> None:
    command = [str(Path(sys.executable).with_name("rollbook")), "--data-dir", str(data_dir), *arguments]
    environment = {**os.environ, **(settings or {})}
    done = subprocess.run(command, check=False, capture_output=True, timeout=timeout_s, text=True, env=environment)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr.strip()}")
