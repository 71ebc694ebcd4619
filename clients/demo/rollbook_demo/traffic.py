"""Starting the load process and reading its counters."""

import subprocess
import sys
import threading
from pathlib import Path
from typing import Self

import msgspec

from rollbook_demo.load import Answer, Plan, Progress

_STOP_TIMEOUT_S = 40.0


class Traffic:
    """A running load process; a context manager that ends it whatever happens."""

    def __init__(self, plan: Plan, *, program: str = "rollbook_demo.load") -> None:
        """Start the program and hand it its plan."""
        self._plan = plan
        self.requests_per_s = plan.requests_per_s
        self._latest = Progress()
        self._process = subprocess.Popen(
            [sys.executable, "-m", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        self._tell(msgspec.json.encode(plan))
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        """Return the running load."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the process if it still runs."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._reader.join()
        if self._process.stdin is not None:
            self._process.stdin.close()

    @property
    def progress(self) -> Progress:
        """The counters as of the last half second."""
        return self._latest

    def set_rate(self, requests_per_s: float) -> None:
        """Send so many requests a second from now on."""
        self.requests_per_s = requests_per_s
        self._tell(str(requests_per_s).encode())

    def finish(self) -> tuple[Progress, list[Answer]]:
        """Let the process end in order, and return its last counters and every answer it kept."""
        self._process.terminate()
        self._process.wait(timeout=_STOP_TIMEOUT_S)
        self._reader.join()
        answers = msgspec.json.decode(Path(self._plan.answers_file).read_bytes(), type=list[Answer])
        return self._latest, answers

    def _tell(self, line: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + b"\n")
        self._process.stdin.flush()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self._latest = msgspec.json.decode(line, type=Progress)
