"""Starts the load process, reads what it tells, and ends it."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import msgspec

from benchmarks.figures import Figure, at_most
from benchmarks.load import Counters, Kept, NewEpoch, Plan

ROOT = Path(__file__).resolve().parents[1]
_STOP_TIMEOUT_S = 30.0
_POLL_S = 0.005
_Told: TypeAlias = NewEpoch | Kept | Counters

_decoder: msgspec.json.Decoder[_Told] = msgspec.json.Decoder(_Told)


class Traffic:
    """A running load process."""

    def __init__(self, plan: Plan) -> None:
        self.counters = Counters()
        self.epochs: dict[tuple[str, int], NewEpoch] = {}
        self.answers: list[Kept] = []
        command = [sys.executable, "-m", "benchmarks.load"]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._write(msgspec.json.encode(plan))
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def aim(self, endpoint: str) -> None:
        """Send the target's share of the requests to this endpoint from now on."""
        self._write(f"target {endpoint}".encode())

    def first_answer_of(self, endpoint: str, epoch: int, *, within_s: float) -> NewEpoch | None:
        """Wait for the first answer of an epoch; None when it does not come in time."""
        deadline = time.monotonic() + within_s
        while (seen := self.epochs.get((endpoint, epoch))) is None and time.monotonic() < deadline:
            time.sleep(_POLL_S)
        return seen

    def finish(self) -> Counters:
        """Let the process end in order, and return its last counters."""
        self._process.terminate()
        self._process.wait(_STOP_TIMEOUT_S)
        self._reader.join()
        return self.counters

    def end(self) -> None:
        """End the process if it still runs."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._reader.join()
        assert self._process.stdin is not None
        self._process.stdin.close()

    def _write(self, line: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + b"\n")
        self._process.stdin.flush()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                message = _decoder.decode(line)
                match message:
                    case NewEpoch():
                        self.epochs[message.endpoint, message.epoch] = message
                    case Kept():
                        self.answers.append(message)
                    case Counters():
                        self.counters = message


@contextmanager
def flowing(plan: Plan, *, warm_up_s: float = 2.0) -> Iterator[Traffic]:
    """Have the load flow, warmed up, until the block is left."""
    traffic = Traffic(plan)
    try:
        time.sleep(warm_up_s)
        yield traffic
    finally:
        traffic.end()


def figures_of(counters: Counters, *, prefix: str) -> list[Figure]:
    """Show what the load was, and what it cost the machine."""
    rate = counters.answered / counters.wall_s
    failures = ", ".join(f"{count} {kind}" for kind, count in counters.failures.items())
    note = f"of {counters.sent:,} requests {failures}".rstrip()
    return [
        Figure(name=f"{prefix}: failed requests", value=counters.failed, unit="", goal=at_most(0), note=note),
        Figure(name=f"{prefix}: requests answered", value=rate, unit="/s", note=_own_cost(counters)),
        Figure(name=f"{prefix}: answer p50", value=counters.p50_ms, unit="ms", note=f"p99 {counters.p99_ms:.1f} ms"),
    ]


def _own_cost(counters: Counters) -> str:
    share = 100 * counters.cpu_s / counters.wall_s
    return f"the load process used {share:.0f} % of a core and was {counters.worst_lag_ms:.0f} ms late at worst"
