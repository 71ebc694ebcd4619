"""The status of a stack, for the command line and for tests."""

import fcntl
import json
import os
import select
import signal
import time
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path

import msgspec

from infra.data_directory import write_atomically
from infra.errors import InfraError

_POLL_SECONDS = 0.2


class ProgramStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One program; ``state`` is waiting, starting, ready, restarting, stopping or stopped."""

    name: str
    state: str
    pid: int | None
    addresses: tuple[str, ...]
    metrics: str | None = None
    restarts: int
    since_ms: int
    region: str = ""


class StackStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The stack; ``state`` is starting, ready, stopping, stopped or failed, then with a reason."""

    state: str
    pid: int
    since_ms: int
    programs: tuple[ProgramStatus, ...] = ()
    reason: str | None = None


class LogLine(msgspec.Struct, frozen=True):
    """One line of one program's log."""

    program: str
    text: str


def write_status(data_dir: Path, status: StackStatus) -> None:
    write_atomically(data_dir / "run" / "status.json", msgspec.json.format(msgspec.json.encode(status), indent=2))


def read_status(data_dir: Path) -> StackStatus | None:
    """Return the last word of the stack on a data directory; None when there was never one.

    A stack whose supervisor died without a word is reported as ``stopped`` or, when it
    said so, ``failed``: the lock on the directory, not the file, says who lives.
    """
    try:
        status = msgspec.json.decode((data_dir / "run" / "status.json").read_bytes(), type=StackStatus)
    except FileNotFoundError:
        return None
    if status.state in ("stopped", "failed") or running_pid(data_dir) is not None:
        return status
    programs = tuple(msgspec.structs.replace(program, state="stopped", pid=None) for program in status.programs)
    return msgspec.structs.replace(status, state="stopped", programs=programs)


def running_pid(data_dir: Path) -> int | None:
    """Return the pid of the supervisor that holds the directory now."""
    try:
        with (data_dir / "lock").open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return None
    except BlockingIOError:
        text = (data_dir / "lock").read_text().strip()
        return int(text) if text.isdigit() else None
    return None


def stop(data_dir: Path, *, timeout_seconds: float = 60.0) -> bool:
    """Ask the stack to stop and wait until it did; False when none was running.

    Raises InfraError when it still runs at the deadline.
    """
    pid = running_pid(data_dir)
    if pid is None:
        return False
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        signal.pidfd_send_signal(process, signal.SIGTERM)
        ended, _, _ = select.select([process], [], [], timeout_seconds)
    finally:
        os.close(process)
    if not ended:
        raise InfraError(f"the stack (process {pid}) did not stop in {timeout_seconds:.0f} s; see `rollbook logs`")
    return True


def tail_logs(
    data_dir: Path, programs: Sequence[str] = (), *, lines: int = 100, follow: bool = False
) -> Iterator[LogLine]:
    """Yield the last lines of each program's log, and with ``follow`` what comes after, forever.

    Raises InfraError for a program without a log. A log that is cut by rotation is read on from its start.
    """
    paths = {path.stem: path for path in sorted((data_dir / "logs").glob("*.log"))}
    if unknown := set(programs) - set(paths):
        raise InfraError(f"there is no log for {', '.join(sorted(unknown))}; there are {', '.join(paths) or 'none'}")
    positions: dict[str, int] = {}
    for name in programs or paths:
        with paths[name].open("rb") as file:
            for line in deque(file, maxlen=lines):
                yield LogLine(name, line.decode(errors="replace").rstrip("\n"))
            positions[name] = file.tell()
    while follow:
        for name, position in positions.items():
            positions[name] = yield from _since(name, paths[name], position)
        time.sleep(_POLL_SECONDS)


def cannot_start_reason(log: str) -> str | None:
    """Find the sentence with which a program said why it cannot start."""
    for line in reversed(log.splitlines()):
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and entry.get("event") == "cannot_start":
            return str(entry.get("reason"))
    return None


def _since(name: str, path: Path, position: int) -> Generator[LogLine, None, int]:
    with path.open("rb") as file:
        if path.stat().st_size < position:
            position = 0
        file.seek(position)
        while (line := file.readline()).endswith(b"\n"):
            position = file.tell()
            yield LogLine(name, line.decode(errors="replace").rstrip("\n"))
    return position
