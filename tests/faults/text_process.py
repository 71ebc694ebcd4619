"""The text server as a process that can be killed and started again at its address."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from infra.ports import free_ports
from tests.support.eventually import eventually

_ROOT = Path(__file__).parents[2]
_READY_WITHIN_S = 180.0


class TextProcess:
    """A running server."""

    def __init__(self) -> None:
        (self._port,) = free_ports(1)
        self._alone = threading.Lock()
        self._process = self._start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def pid(self) -> int:
        return self._process.pid

    def kill_and_start(self, *, away_s: float) -> None:
        """Kill it, and have it back a while later."""
        with self._alone:
            self.end()
            time.sleep(away_s)  # the harm itself
            self._process = self._start()

    def end(self) -> None:
        self._process.kill()
        self._process.wait()

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.support.text_server", str(self._port)]
        process = subprocess.Popen(command, cwd=_ROOT)
        eventually(self._answers, "the text server answers", within_s=_READY_WITHIN_S)
        return process

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/v1/models", timeout=1).is_success
        except httpx.TransportError:
            return False


@contextmanager
def text_process() -> Iterator[TextProcess]:
    """Run it until the block is left."""
    process = TextProcess()
    try:
        yield process
    finally:
        process.end()
