"""Does to a running stack what a schedule says, and remembers what was harmed from when to when."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec
import psutil

from tests.faults.accounts import Harm
from tests.faults.schedule import ENGINE, SERVER, Fault
from tests.faults.text_process import TextProcess
from tests.support.process_memory import spoil
from tests.support.stack import BACK_WITHIN_S, RunningStack
from workers.serving_agent.instance_book import InstanceRecord

_POLL_S = 0.02
_STILL_S, _MOVING_S = 0.4, 0.1
_SERVER_AWAY_S = 4.0

Weights = Mapping[str, bytes]
"""What lies in the memory of an engine, by version: bytes of which a wrong copy makes wrong answers."""


class Harmer:
    """Harms one thing after the other; what lasts goes on in threads, which `finish` waits for."""

    def __init__(self, stack: RunningStack, server: TextProcess, weights: Weights) -> None:
        self._stack, self._server, self._weights = stack, server, weights
        self._lasting: list[threading.Thread] = []
        self.harms: list[Harm] = []

    def do(self, fault: Fault) -> Harm:
        """Do it now."""
        harm = Harm(fault=fault, began_at=time.time())
        self.harms.append(harm)
        if fault.target == ENGINE:
            self._harm_engine(harm)
        elif fault.target == SERVER:
            self._harm_server(harm)
        else:
            self._harm_program(harm)
        return harm

    def finish(self) -> None:
        """Wait until all that was harmed has had its time to come back."""
        for thread in self._lasting:
            thread.join()

    def _lasts(self, harm: Harm, work: Callable[[], None]) -> None:
        def run() -> None:
            try:
                work()
                harm.until = time.time()
            except (AssertionError, psutil.NoSuchProcess) as error:
                harm.note = f"NOT BACK: {error!r}"

        thread = threading.Thread(target=run)
        thread.start()
        self._lasting.append(thread)

    def _harm_program(self, harm: Harm) -> None:
        pid = self._stack.program(harm.fault.target).pid
        if pid is None:
            harm.note, harm.until = "is being started anew", harm.began_at
        elif harm.fault.deed == "kill":
            os.kill(pid, signal.SIGKILL)
            self._lasts(harm, lambda: self._until_back(harm.fault.target, pid))
        else:
            # The whole family: what a program started must not go on by itself.
            family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
            self._lasts(harm, lambda: _hold_still(family, harm.fault.lasts_s))

    def _until_back(self, name: str, killed: int) -> None:
        deadline = time.monotonic() + BACK_WITHIN_S
        while True:
            program = self._stack.program(name)
            if program.state == "ready" and program.pid not in {None, killed}:
                return
            assert time.monotonic() < deadline, f"{name} is {program.state} after {BACK_WITHIN_S:g} s"
            time.sleep(_POLL_S)

    def _harm_engine(self, harm: Harm) -> None:
        engines = self._engines()
        if not engines:
            harm.note, harm.until = "no engine runs", harm.began_at
            return
        drawn = int(harm.fault.draw * len(engines))
        if harm.fault.deed == "spoil":
            self._spoil_one(harm, [*engines[drawn:], *engines[:drawn]])
            return
        engine = engines[drawn]
        harm.instance_id = engine.instance_id
        try:
            self._do_to_engine(harm, psutil.Process(engine.pid))
        except (psutil.NoSuchProcess, ProcessLookupError):
            harm.note, harm.until = "its process is gone already", harm.began_at

    def _do_to_engine(self, harm: Harm, engine: psutil.Process) -> None:
        match harm.fault.deed:
            case "kill":
                engine.kill()
            case "hang":
                engine.suspend()
            case "slow":
                self._lasts(harm, lambda: _slow_down(engine, harm.fault.lasts_s))
            case "pause" | "spoil":
                raise AssertionError("what an engine suffers is to hang")

    def _spoil_one(self, harm: Harm, engines: Sequence[InstanceRecord]) -> None:
        """Spoil the first engine that has weights: the relay of a server that already runs has none."""
        harm.until = harm.began_at
        for engine in engines:
            places = sum(_spoil(engine.pid, content) for content in self._weights.values())
            if places:
                harm.instance_id, harm.until, harm.note = engine.instance_id, None, f"{places} places spoiled"
                return
        harm.note = "no engine holds weights"

    def _engines(self) -> Sequence[InstanceRecord]:
        book = self._stack.data_dir / "agent" / "local" / "instances.json"
        records = msgspec.json.decode(book.read_bytes(), type=list[InstanceRecord])
        running = [record for record in records if record.pid]
        return sorted(running, key=lambda record: record.instance_id)

    def _harm_server(self, harm: Harm) -> None:
        if harm.fault.deed == "pause":
            family = [psutil.Process(self._server.pid)]
            self._lasts(harm, lambda: _hold_still(family, harm.fault.lasts_s))
        else:
            self._lasts(harm, lambda: self._server.kill_and_start(away_s=_SERVER_AWAY_S))


def _hold_still(family: Sequence[psutil.Process], seconds: float) -> None:
    still = list(_each_living(family, psutil.Process.suspend))
    time.sleep(seconds)  # the harm itself
    list(_each_living(still, psutil.Process.resume))


def _each_living(family: Sequence[psutil.Process], deed: Callable[[psutil.Process], None]) -> Iterator[psutil.Process]:
    for process in family:
        try:
            deed(process)
        except psutil.NoSuchProcess:
            continue
        yield process


def _slow_down(engine: psutil.Process, seconds: float) -> None:
    """Have a process run a fifth of the time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        engine.suspend()
        time.sleep(_STILL_S)
        engine.resume()
        time.sleep(_MOVING_S)


def _spoil(pid: int, content: bytes) -> int:
    try:
        return spoil(pid, content=content, replacement=content[::-1])
    except (FileNotFoundError, ProcessLookupError):
        return 0
