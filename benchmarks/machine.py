"""How quiet the machine is: the same small work again and again, beside each figure."""

import hashlib
import os
import tempfile
import time
from collections.abc import Callable
from statistics import median

import msgspec

from benchmarks.figures import quantile

_REPEATS = 25
_HASHED = bytes(1024 * 1024)
_WRITTEN = os.urandom(4096)


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """The times of a repeated piece of work, in milliseconds."""

    p10_ms: float
    median_ms: float
    p90_ms: float


class Noise(msgspec.Struct, frozen=True, kw_only=True):
    """The machine at one moment: one-minute load, the time of a fixed calculation, and of a forced 4 KiB write."""

    load: float
    cpu: Spread
    fsync: Spread

    def __str__(self) -> str:
        """Write it as one line."""
        return f"load {self.load:.1f}  cpu {_text(self.cpu)}  fsync {_text(self.fsync)}"


def noise() -> Noise:
    """Calibrate: a quarter of a second of work on a quiet machine."""
    with tempfile.TemporaryFile() as file:
        handle = file.fileno()
        return Noise(
            load=os.getloadavg()[0],
            cpu=_spread(lambda: hashlib.sha256(_HASHED).digest()),
            fsync=_spread(lambda: _write(handle)),
        )


def _write(handle: int) -> None:
    os.pwrite(handle, _WRITTEN, 0)
    os.fsync(handle)


def _spread(work: Callable[[], object]) -> Spread:
    times = []
    for _ in range(_REPEATS):
        began = time.perf_counter()
        work()
        times.append((time.perf_counter() - began) * 1000)
    return Spread(p10_ms=quantile(times, 0.1), median_ms=median(times), p90_ms=quantile(times, 0.9))


def _text(spread: Spread) -> str:
    return f"{spread.median_ms:.2f} ms ({spread.p10_ms:.2f} to {spread.p90_ms:.2f})"
