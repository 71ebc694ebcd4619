"""Admission control: limits the bytes of requests in progress, and the memory that models take."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from serving.engines.errors import CannotLoadError
from serving.runtime.errors import OverloadedError

_MEMORY_LIMIT = Path("/sys/fs/cgroup/memory.max")
_MEMORY_USED = Path("/sys/fs/cgroup/memory.current")
_MEGABYTE = 1024**2


class MemoryShortError(CannotLoadError):
    """There is no memory for the model now; elsewhere, or later, there may be."""

    code = "memory-short"


class Intake:
    """Counts the bytes of requests that are being read or answered; above the limit, nothing more is admitted."""

    def __init__(self, *, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self.held_bytes = 0

    @contextmanager
    def hold(self) -> Iterator["Hold"]:
        """Account for the bytes of one request until it is answered."""
        hold = Hold(self)
        try:
            yield hold
        finally:
            self.held_bytes -= hold.size_bytes

    def admit(self, size_bytes: int) -> None:
        """Count bytes.

        Raises:
            OverloadedError: this would exceed the limit.
        """
        if self.held_bytes + size_bytes > self._limit_bytes:
            raise OverloadedError(f"requests with {self.held_bytes} bytes are in progress; try again in a moment")
        self.held_bytes += size_bytes


class Hold:
    """The bytes of one request."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self.size_bytes = 0

    def add(self, size_bytes: int) -> None:
        """Admit more of the request.

        Raises:
            OverloadedError: too many bytes are in progress.
        """
        self._intake.admit(size_bytes)
        self.size_bytes += size_bytes


class MemoryBudget:
    """Rejects a model before the machine swaps: its estimated memory must leave the reserve free."""

    def __init__(self, *, limit_bytes: int, reserve_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._reserve_bytes = reserve_bytes

    def admit(self, need_bytes: int) -> None:
        """Check that a model fits.

        Raises:
            MemoryShortError: it does not fit.
        """
        room = available_bytes() - self._reserve_bytes
        if self._limit_bytes:
            room = min(room, self._limit_bytes - resident_bytes())
        if need_bytes > room:
            raise MemoryShortError(
                f"the model is estimated to take {_megabytes(need_bytes)} and {_megabytes(max(0, room))} are free for "
                "it; unload another model or serve it on a larger host"
            )


def available_bytes() -> int:
    """Return the memory available without swapping: the machine's, or the container's if that is less."""
    available = int(psutil.virtual_memory().available)
    try:
        limit = _MEMORY_LIMIT.read_text().strip()
        return available if limit == "max" else min(available, int(limit) - int(_MEMORY_USED.read_text()))
    except (OSError, ValueError):
        return available


def resident_bytes() -> int:
    """Return the memory that this process uses."""
    return int(psutil.Process().memory_info().rss)


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / _MEGABYTE:,.0f} MiB"
