"""Runs a command within a time limit and leaves no process behind, not even one that left its process group.

On Linux orphans of the command become children of this process (PR_SET_CHILD_SUBREAPER) and are ended here;
elsewhere only the command's own process group is.
"""

import argparse
import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

PR_SET_CHILD_SUBREAPER = 36
GRACE_SECONDS = 10.0
POLL_SECONDS = 0.1
TIMED_OUT = 124


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limit-seconds", type=float, required=True)
    parser.add_argument("command", nargs="+")
    arguments = parser.parse_args()
    _adopt_orphans()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _stop)
    process = subprocess.Popen(arguments.command, start_new_session=True)
    try:
        return process.wait(timeout=arguments.limit_seconds)
    except subprocess.TimeoutExpired:
        print(f"ci: ended after {arguments.limit_seconds:.0f} s", file=sys.stderr)
        return TIMED_OUT
    finally:
        _end(process)


def _adopt_orphans() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _stop(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask everything that is left to end, then insist."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    left = _descendants()
    for pid, name in left.items():
        print(f"ci: still running: {name} ({pid})", file=sys.stderr)
    _signal_all(left, process, signal.SIGTERM)
    deadline = time.monotonic() + GRACE_SECONDS
    while _descendants() and time.monotonic() < deadline:
        _reap()
        time.sleep(POLL_SECONDS)
    while left := _descendants():
        _signal_all(left, process, signal.SIGKILL)
        _reap()
        time.sleep(POLL_SECONDS)
    process.poll()


def _signal_all(pids: dict[int, str], process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    if sys.platform != "linux":
        _signal_group(process.pid, number)
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def _signal_group(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return


def _descendants() -> dict[int, str]:
    """Name, by id, every living process below this one; without /proc there is nothing to tell."""
    parents: dict[int, tuple[int, str]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            head, _, tail = (folder / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")
        except OSError:
            continue
        state, parent = tail.split()[:2]
        if state != "Z":
            parents[int(folder.name)] = (int(parent), head.partition("(")[2])
    return {pid: name for pid, (_, name) in parents.items() if _is_below(pid, parents)}


def _is_below(pid: int, parents: dict[int, tuple[int, str]]) -> bool:
    while pid in parents:
        pid = parents[pid][0]
        if pid == os.getpid():
            return True
    return False


if __name__ == "__main__":
    sys.exit(main())
