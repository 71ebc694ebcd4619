"""What each program of a stack holds in memory over time, and whether that grows without bound."""

import threading
import time
from collections import defaultdict
from statistics import median
from types import TracebackType
from typing import Self

import psutil

from tests.support.stack import RunningStack

_EVERY_S = 5.0
_MIB = 1024**2
# A program of a minute has not yet loaded all it needs.
_GROWN_UP_S = 40.0


class MemoryWatch:
    """Samples the resident memory of each program and what it started."""

    def __init__(self, stack: RunningStack) -> None:
        self._stack = stack
        self._began = time.monotonic()
        self.samples: dict[str, list[tuple[float, float]]] = defaultdict(list)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(_EVERY_S):
            for program in self._stack.status.programs:
                if program.state == "ready" and program.pid is not None:
                    self._sample(program.name, program.pid)

    def _sample(self, name: str, pid: int) -> None:
        try:
            process = psutil.Process(pid)
            if time.time() - process.create_time() < _GROWN_UP_S:
                return
            # The agent's engines are not its children; a launcher's program is.
            family = [process, *process.children(recursive=True)] if name != "agent" else [process]
            held = sum(one.memory_info().rss for one in family) / _MIB
        except psutil.NoSuchProcess:
            return
        self.samples[name].append((time.monotonic() - self._began, held))

    def before_and_after(self) -> dict[str, tuple[float, float]]:
        """Return the median of the first and of the last quarter of what was seen of each program, in MiB."""
        found = {}
        for name, samples in self.samples.items():
            held = [each for _, each in samples]
            quarter = max(1, len(held) // 4)
            found[name] = (median(held[:quarter]), median(held[-quarter:]))
        return found
