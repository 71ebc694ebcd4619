"""The stack on this machine: whether it runs, where it listens, and how it is started and stopped."""

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from importlib.metadata import entry_points
from pathlib import Path

import msgspec

from rollbook.errors import RollbookError, TookTooLong

DEFAULT_DATA_DIR = Path("rollbook-data")
GROUP = "rollbook.programs"
_LAUNCH = f"""
import sys
from importlib.metadata import entry_points
(program,) = entry_points(group={GROUP!r}, name=sys.argv[1])
sys.exit(program.load()(sys.argv[2:]))
"""
_POLL_S = 0.1
_STOP_TIMEOUT_S = 60.0


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """One program of a running stack, as the supervisor reports it."""

    name: str
    state: str
    pid: int | None = None
    addresses: tuple[str, ...] = ()
    metrics: str | None = None
    restarts: int = 0
    region: str = ""
    failing: tuple[str, ...] = ()
    """Work inside the program that met an error within the last minute and went on, as its metrics tell."""


class StackStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What the supervisor wrote last."""

    pid: int
    state: str
    programs: tuple[Program, ...] = ()
    reason: str | None = None

    def address(self, name: str) -> str | None:
        """Return the first address of a program, for example of `api`, or of `envoy`, the gateway."""
        return next((one.addresses[0] for one in self.programs if one.name == name and one.addresses), None)


class LocalStack:
    """The stack of a data directory, whether it runs or not."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self._started: subprocess.Popen[bytes] | None = None

    def status(self) -> StackStatus | None:
        """Return what the supervisor wrote last, or None where no stack was ever started.

        Raises:
            RollbookError: the file cannot be read.
        """
        path = self.data_dir / "run" / "status.json"
        try:
            return msgspec.json.decode(path.read_bytes(), type=StackStatus) if path.exists() else None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise RollbookError(f"{path} cannot be read ({error}); start the stack again with `rollbook up`") from error

    def running_pid(self) -> int | None:
        """Return the pid of the supervisor that runs on the directory: it holds the lock there as long as it lives."""
        path = self.data_dir / "lock"
        try:
            with path.open(encoding="utf-8") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return None
        except BlockingIOError:
            text = path.read_text(encoding="utf-8").strip()
            return int(text) if text.isdigit() else None
        return None

    def address(self, program: str) -> str | None:
        """Return where a program listens, by what the supervisor wrote last."""
        status = self.status()
        return None if status is None else status.address(program)

    def token(self) -> str | None:
        """Return the stack's own admin token."""
        path = self.data_dir / "secrets" / "admin.token"
        return path.read_text(encoding="utf-8-sig", errors="replace").strip() if path.is_file() else None

    def ensure_running(self, *, timeout_s: float) -> None:
        """Wait until the stack is ready, and start it where it does not run.

        Raises:
            RollbookError: it does not start.
            TookTooLong: it is not ready in time.
        """
        deadline = time.monotonic() + timeout_s
        while (pid := self.running_pid()) is not None:
            if _status_when_ready(self, pid) is not None:
                return
            if time.monotonic() > deadline:
                raise TookTooLong(f"The stack in {self.data_dir} was not ready after {timeout_s:g} s.")
            time.sleep(_POLL_S)
        self._started = start_supervisor(self.data_dir, in_new_session=True)
        wait_until_ready(self, self._started, timeout_s=timeout_s)

    def stop_if_started(self) -> None:
        """Stop the stack, if it was started here."""
        if self._started is not None:
            stop(self._started)
            self._started = None


def _status_when_ready(stack: LocalStack, pid: int) -> StackStatus | None:
    try:
        status = stack.status()
    except RollbookError:
        # The supervisor writes the file anew once it is up.
        return None
    return status if status is not None and status.pid == pid and status.state == "ready" else None


def program_command(name: str, *arguments: str) -> list[str]:
    """Return the command line that runs a program of rollbook-server in a process of its own.

    Raises:
        RollbookError: the program is not installed.
    """
    if not any(point.name == name for point in entry_points(group=GROUP)):
        raise RollbookError(f"The program {name!r} is not installed. Install it with: pip install rollbook-server")
    return [sys.executable, "-c", _LAUNCH, name, *arguments]


def start_supervisor(
    data_dir: Path, *, in_new_session: bool, regions: str | None = None, settings: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start the stack's supervisor on a data directory; in a session of its own it writes to logs/supervisor.log.

    `settings` are more of the environment's variables.
    """
    environment = {**os.environ, **(settings or {}), "ROLLBOOK_DATA_DIR": str(data_dir)}
    if regions is not None:
        environment["ROLLBOOK_SUPERVISOR_REGIONS"] = regions
    if in_new_session:
        environment["ROLLBOOK_SUPERVISOR_DETACHED"] = "true"
    command = program_command("supervisor")
    return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, start_new_session=in_new_session)


def wait_until_ready(stack: LocalStack, supervisor: subprocess.Popen[bytes], *, timeout_s: float) -> StackStatus:
    """Wait until a started supervisor says that the whole stack is ready.

    Raises:
        RollbookError: it ended. What it said before it had a log is on standard error.
        TookTooLong: it is not ready in time, and still starting.
    """
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if (status := _status_when_ready(stack, supervisor.pid)) is not None:
            return status
        if supervisor.poll() is not None:
            raise RollbookError(_why_not_started(stack, supervisor.pid))
        time.sleep(_POLL_S)
    raise TookTooLong(f"The stack was not ready after {timeout_s:g} s; see {stack.data_dir / 'logs'}.")


def _why_not_started(stack: LocalStack, supervisor_pid: int) -> str:
    status = stack.status()
    if status is None or status.pid != supervisor_pid or not status.reason:
        return "The stack did not start."
    return f"The stack did not start: {status.reason}"


def data_dir_or_default(data_dir: Path | str | None) -> Path:
    """Return a data directory, by default that of the `rollbook` command."""
    return Path(data_dir or os.environ.get("ROLLBOOK_DATA_DIR") or DEFAULT_DATA_DIR).absolute()


def api_url(stack: LocalStack) -> str:
    """Return the address of the API.

    Raises:
        RollbookError: the stack says none.
    """
    url = stack.address("api")
    if url is None:
        raise RollbookError(f"The stack in {stack.data_dir} is not ready yet; see: rollbook status")
    return url


def stop(supervisor: subprocess.Popen[bytes]) -> None:
    """Stop a stack that was started here, in order.

    Raises:
        TookTooLong: it has not ended in time.
    """
    if supervisor.poll() is None:
        supervisor.terminate()
    try:
        supervisor.wait(timeout=_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise TookTooLong(f"The stack (pid {supervisor.pid}) has not ended after {_STOP_TIMEOUT_S:g} s.") from error
