"""Which program of the stack uses the processors: the first question to any figure that is too high."""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from benchmarks.figures import Figure
from benchmarks.stack import Stack

_WORTH_SHOWING = 0.01


class CpuUse:
    """CPU seconds by program, and the wall time they were used in; filled when the block is left."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.wall_s = 0.0

    def figures(self, *, prefix: str) -> list[Figure]:
        """Show each program's share of one core, the largest first."""
        shares = {name: seconds / self.wall_s for name, seconds in self.seconds.items()}
        ordered = sorted(shares.items(), key=lambda item: -item[1])
        text = ", ".join(f"{name} {100 * share:.0f}" for name, share in ordered if share > _WORTH_SHOWING)
        total = 100 * sum(shares.values())
        return [Figure(name=f"{prefix}: CPU of the stack", value=total, unit="% of a core", note=text)]


@contextmanager
def cpu_used(stack: Stack) -> Iterator[CpuUse]:
    """Measure what each program of the stack uses while the block runs."""
    use, before, began = CpuUse(), _seconds(stack), time.monotonic()
    yield use
    use.wall_s = time.monotonic() - began
    use.seconds = {name: seconds - before.get(name, 0.0) for name, seconds in _seconds(stack).items()}


def _seconds(stack: Stack) -> dict[str, float]:
    sums: defaultdict[str, float] = defaultdict(float)
    for process in stack.processes():
        try:
            sums[stack.name_of(process)] += sum(process.cpu_times()[:2])
        except psutil.NoSuchProcess:
            continue
    return dict(sums)
