"""Lets a process end when its parent ends, however that happens. Linux only; elsewhere it does nothing."""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def die_with_parent(parent: int, *, number: signal.Signals = signal.SIGKILL) -> None:
    """Ask the kernel for a signal when the parent dies; it survives ``exec``.

    The parent may be gone before the request takes effect, so the process ends at once
    when it is no longer a child of ``parent``.
    """
    if _prctl(_PR_SET_PDEATHSIG, number) and os.getppid() != parent:
        os.kill(os.getpid(), number)


def adopt_orphans() -> None:
    """Become the parent of grandchildren whose own parent dies."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _prctl(option: int, value: int) -> bool:
    if sys.platform != "linux":
        return False
    return bool(ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) == 0)
