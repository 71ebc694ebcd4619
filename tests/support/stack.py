"""The whole stack under its real supervisor, on a directory and ports of its own, and ways to hurt it."""

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import psutil

from infra.launch import launched
from infra.ports import free_ports
from infra.supervisor.status import ProgramStatus, StackStatus, read_status
from rollbook import Rollbook
from rollbook.cli.profile import Profile
from tests.support.eventually import eventually
from workers.serving_agent.instance_book import InstanceRecord

PROGRAMS = (
    "kafka",
    "clickhouse",
    "api",
    "relay",
    "projections",
    "follower",
    "envoy",
    "shipper",
    "agent",
    "judge",
    "drift",
    "autoscaler",
    "batches",
)
READY_WITHIN_S = 120.0
BACK_WITHIN_S = 180.0
STOPPED_WITHIN_S = 180.0
_MARK = "TEST_STACK_MARK"


class MarkedProcesses:
    """The processes that descend from a start, found by a mark in their environment whatever their parent is."""

    def __init__(self) -> None:
        self._mark = str(uuid.uuid4())

    def environment(self, additions: Mapping[str, str]) -> dict[str, str]:
        """Return this process's environment without settings of Rollbook, with the mark and the additions."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("ROLLBOOK_")}
        return {**inherited, _MARK: self._mark, **additions}

    def alive(self) -> list[str]:
        """Return the command lines of those that live."""
        return [" ".join(process.cmdline()) or process.name() for process in self._all()]

    def end(self) -> None:
        """Kill what is left."""
        for process in self._all():
            process.kill()

    def _all(self) -> list[psutil.Process]:
        return [process for process in psutil.process_iter() if self._is_ours(process)]

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            return bool(process.environ().get(_MARK) == self._mark and process.status() != psutil.STATUS_ZOMBIE)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return False


class RunningStack:
    """A stack that is ready; `kill` and `paused` hurt one program and see it come back."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.profile = Profile(data_dir=data_dir, url=None, token=None, workspace=None, as_json=False)

    @property
    def status(self) -> StackStatus:
        status = read_status(self.data_dir)
        assert status is not None
        return status

    @property
    def api_url(self) -> str:
        return self.program("api").addresses[0]

    @property
    def gateway_url(self) -> str:
        return self.program("envoy").addresses[0]

    @property
    def kafka_bootstrap(self) -> str:
        return f"127.0.0.1:{self._ports['kafka']}"

    @property
    def clickhouse_url(self) -> str:
        password = (self.data_dir / "secrets" / "clickhouse.password").read_text().strip()
        return f"http://default:{password}@127.0.0.1:{self._ports['clickhouse']}/default"

    @property
    def admin_token(self) -> str:
        return (self.data_dir / "secrets" / "admin.token").read_text().strip()

    @property
    def _ports(self) -> dict[str, int]:
        return msgspec.json.decode((self.data_dir / "run" / "ports.json").read_bytes(), type=dict[str, int])

    def client(self) -> Rollbook:
        """Make a client with the stack's own admin token; the caller closes it."""
        return self.profile.client()

    def answer(self, *arguments: str) -> Any:  # noqa: ANN401 - any JSON
        """Return the JSON that the command line prints about this stack."""
        command = rollbook_command("--data-dir", str(self.data_dir), "--json", *arguments)
        done = subprocess.run(command, capture_output=True, check=True, text=True, timeout=180)
        return json.loads(done.stdout)

    def program(self, name: str) -> ProgramStatus:
        return next(program for program in self.status.programs if program.name == name)

    def pid(self, name: str) -> int:
        pid = self.program(name).pid
        assert pid is not None, f"{name} does not run"
        return pid

    def kill(self, name: str) -> float:
        """Kill a program with SIGKILL, wait until another process is ready in its place; return the seconds."""
        killed, began = self.pid(name), time.monotonic()
        os.kill(killed, signal.SIGKILL)
        eventually(lambda: self._is_back(name, killed), f"{name} is back after kill -9", within_s=BACK_WITHIN_S)
        return time.monotonic() - began

    def gateway_of(self, region: str) -> str:
        """Return where callers of a region send their requests."""
        gateways = (one for one in self.status.programs if one.region == region and one.name.startswith("envoy"))
        return next(gateways).addresses[0]

    def engines(self, deployment_id: str, *, agent: str = "local") -> list[InstanceRecord]:
        """Return the engines of a deployment that have a process."""
        book = self.data_dir / "agent" / agent / "instances.json"
        if not book.exists():
            return []
        records = msgspec.json.decode(book.read_bytes(), type=list[InstanceRecord])
        return [record for record in records if record.slot.deployment_id == deployment_id and record.pid]

    def kill_engine(self, deployment_id: str) -> None:
        """Kill one engine of a deployment and wait until the agent has put another in its slot."""
        killed = self.engines(deployment_id)[0]
        os.kill(killed.pid, signal.SIGKILL)

        def is_replaced() -> bool:
            engines = self.engines(deployment_id)
            return any(engine.slot == killed.slot and engine.boot_id != killed.boot_id for engine in engines)

        eventually(is_replaced, f"another engine in {killed.slot}", within_s=BACK_WITHIN_S)

    @contextmanager
    def paused(self, name: str) -> Iterator[None]:
        """Stop a program as a debugger does, so that it neither ends nor goes on."""
        process = psutil.Process(self.pid(name))
        process.suspend()
        try:
            yield
        finally:
            process.resume()

    def _is_back(self, name: str, killed: int) -> bool:
        program = self.program(name)
        return program.state == "ready" and program.pid not in {None, killed}


@contextmanager
def running_stack(
    data_dir: Path, *, regions: Sequence[str] = (), settings: Mapping[str, str] | None = None
) -> Iterator[RunningStack]:
    """Start the stack, and at the end stop it and see that nothing of it is left."""
    api, gateway = free_ports(2)
    processes = MarkedProcesses()
    chosen = {
        "ROLLBOOK_DATA_DIR": str(data_dir),
        "ROLLBOOK_SUPERVISOR_API_PORT": str(api),
        "ROLLBOOK_SUPERVISOR_GATEWAY_PORT": str(gateway),
        **({"ROLLBOOK_SUPERVISOR_REGIONS": ",".join(regions)} if regions else {}),
        **(settings or {}),
    }
    output = data_dir.with_suffix(".out")
    with output.open("wb") as file:
        supervisor = subprocess.Popen(
            launched("supervisor"), env=processes.environment(chosen), stdout=file, stderr=file, start_new_session=True
        )
    try:
        eventually(
            lambda: _is_ready(data_dir, supervisor, output), "the stack is ready", within_s=READY_WITHIN_S, poll_s=0.2
        )
        yield RunningStack(data_dir)
        supervisor.terminate()
        code = supervisor.wait(STOPPED_WITHIN_S)
        left = processes.alive()
        assert not left, f"the stack left processes behind: {left}"
        assert code == 0, f"the supervisor ended with {code}: {output.read_text()[-2000:]}"
    finally:
        processes.end()
        supervisor.wait()


def _is_ready(data_dir: Path, supervisor: subprocess.Popen[bytes], output: Path) -> bool:
    assert supervisor.poll() is None, output.read_text()[-2000:]
    status = read_status(data_dir)
    return status is not None and status.state == "ready" and status.pid == supervisor.pid


def rollbook_command(*arguments: str) -> list[str]:
    """Return the command line of the command that users type."""
    return [str(Path(sys.executable).with_name("rollbook")), *arguments]
