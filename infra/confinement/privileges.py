"""Gives up what a process may do as root, for good. For a process without privileges it changes nothing."""

import ctypes
import os
import struct
from pathlib import Path

_SET_NO_NEW_PRIVILEGES, _DROP_FROM_BOUNDING_SET, _SET_SECUREBITS = 38, 24, 28
_CLEAR_AMBIENT = (47, 4)
# Root's user id means nothing, and neither does a change of it; both for good.
_ROOT_IS_NOTHING = 0b1111
_CAPABILITIES_VERSION = 0x20080522
_SETPCAP = 8
_OOM_SCORE = 500
"""Of -1,000 to 1,000: what the kernel kills first when memory runs out."""


def give_up_privileges() -> None:
    """Drop every capability, and whatever a program with a set-user-id bit would give.

    Raises:
        OSError: the kernel refuses.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    _check(libc.prctl(_SET_NO_NEW_PRIVILEGES, 1, 0, 0, 0))
    if _has_capability(_SETPCAP):
        for capability in range(_last_capability() + 1):
            _check(libc.prctl(_DROP_FROM_BOUNDING_SET, capability, 0, 0, 0))
        _check(libc.prctl(_SET_SECUREBITS, _ROOT_IS_NOTHING, 0, 0, 0))
    libc.prctl(*_CLEAR_AMBIENT, 0, 0, 0)
    header = struct.pack("=Ii", _CAPABILITIES_VERSION, 0)
    _check(libc.capset(header, struct.pack("=6I", *[0] * 6)))


def be_first_when_memory_runs_out() -> None:
    """Have the kernel end this process rather than one that other processes need."""
    path = Path("/proc/self/oom_score_adj")
    if path.exists() and int(path.read_text()) < _OOM_SCORE:
        path.write_text(str(_OOM_SCORE))


def _has_capability(number: int) -> bool:
    for text in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if text.startswith("CapEff:"):
            return bool(int(text.split()[1], 16) & 1 << number)
    return False


def _last_capability() -> int:
    return int(Path("/proc/sys/kernel/cap_last_cap").read_text())


def _check(result: int) -> None:
    if result:
        code = ctypes.get_errno()
        raise OSError(code, f"privileges cannot be given up: {os.strerror(code)}")
