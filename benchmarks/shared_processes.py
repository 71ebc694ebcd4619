"""Many small models, each in a process of its own and all in one: memory, starts and answers."""

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import msgspec
import psutil

from benchmarks.digits import PATH
from benchmarks.figures import Figure, at_least, quantile
from benchmarks.served_models import NAME, rest_bodies, write_model_directory, write_models
from benchmarks.start_and_memory import memory_of
from infra.ports import free_port
from infra.stack.addresses import LOOPBACK
from schemas.events.registry import ArtifactFormat
from workers.serving_agent.engine_process import EngineProcess, Process
from workers.serving_agent.fork_server import ForkServer
from workers.serving_agent.launchers.base import Command
from workers.serving_agent.launchers.runtime_launcher import FORK_SERVER, ONE_THREAD, SLOW_LIBRARIES
from workers.serving_agent.oip_client import OipClient
from workers.serving_agent.shared_processes import Kin, SharedProcesses

_MODELS, _MODELS_FULL = 10, 40
_ANSWERS = 500
_FORMATS: tuple[tuple[ArtifactFormat, tuple[str, ...]], ...] = (("skops", SLOW_LIBRARIES), ("onnx", ()))
_ANSWER_DEADLINE_S = 60.0
_STOP_DEADLINE_S = 20.0
_TRIES, _POLL_S = 6_000, 0.02
_MB, _MS = 1e6, 1e3


class _Outcome(msgspec.Struct, frozen=True, kw_only=True):
    bytes_a_model: float
    ready_s: float
    answers_s: list[float]


def measure(*, full: bool) -> Iterator[list[Figure]]:
    """Start the same model many times, by the serving agent's own parts."""
    models = _MODELS_FULL if full else _MODELS
    for artifact_format, libraries in _FORMATS:
        alone = asyncio.run(_measured(artifact_format, libraries, models=models, seats=1))
        shared = asyncio.run(_measured(artifact_format, libraries, models=models, seats=models))
        yield [
            *_figures(f"{artifact_format}, a process each", alone, models),
            *_figures(f"{artifact_format}, one process", shared, models),
            Figure(
                name=f"{artifact_format}: models in the memory of one",
                value=alone.bytes_a_model / shared.bytes_a_model,
                unit="",
                # A few models share the cost of what holds them with too few others.
                goal=at_least(5) if full else None,
            ),
        ]


def _figures(name: str, outcome: _Outcome, models: int) -> list[Figure]:
    answers = f"{len(outcome.answers_s)} answers, one at a time, of each model in turn"
    return [
        Figure(name=f"{name}: PSS a model", value=outcome.bytes_a_model / _MB, unit="MB", note=f"{models} models"),
        Figure(name=f"{name}: all ready after", value=outcome.ready_s, unit="s"),
        Figure(name=f"{name}: answer, p50", value=quantile(outcome.answers_s, 0.5) * _MS, unit="ms", note=answers),
        Figure(name=f"{name}: answer, p99", value=quantile(outcome.answers_s, 0.99) * _MS, unit="ms"),
    ]


async def _measured(
    artifact_format: ArtifactFormat, libraries: tuple[str, ...], *, models: int, seats: int
) -> _Outcome:
    with tempfile.TemporaryDirectory(prefix="rollbook-bench-") as temporary:
        root = Path(temporary)
        write_model_directory(root, getattr(write_models(root), artifact_format), artifact_format)
        async with _host(root, libraries, seats=seats) as host:
            began = time.monotonic()
            ports = [free_port() for _ in range(models)]
            kept = [
                await host.start(Kin("default", artifact_format), number=number, port=port)
                for number, port in enumerate(ports)
            ]
            await asyncio.gather(*map(_ready, ports))
            ready_s = time.monotonic() - began
            answers_s = _answers(ports)
            processes = {psutil.Process(one.pid) for one in kept} | {host.fork_server()}
            used = sum(memory_of(process, "").pss for process in processes)
            await asyncio.gather(*(one.stop(deadline_s=_STOP_DEADLINE_S) for one in kept))
        return _Outcome(bytes_a_model=used / models, ready_s=ready_s, answers_s=answers_s)


class _Host:
    """Starts engines as the serving agent does."""

    def __init__(self, root: Path, libraries: tuple[str, ...], *, seats: int) -> None:
        self._root = root
        self._libraries = libraries
        self._seats = seats
        self.server = ForkServer(FORK_SERVER, environ=os.environ, log=root / "fork-server.log")
        self._shared = SharedProcesses(
            limit=seats, supervisor_pid=os.getpid(), start=self._fork, confinement=lambda _: None
        )

    async def start(self, kin: Kin, *, number: int, port: int) -> Process:
        command = Command(
            arguments=(),
            environment={**ONE_THREAD, **self._settings(number, port)},
            is_forked=True,
            libraries=self._libraries,
        )
        if self._seats == 1:
            return await self._fork(command, str(number))
        seat = await self._shared.seat(kin, f"endpoint-{number}", like=command)
        return await seat.begin(command.environment)

    def fork_server(self) -> psutil.Process:
        (found,) = (one for one in psutil.Process().children() if "fork_server" in " ".join(one.cmdline()))
        return found

    async def _fork(self, command: Command, name: str) -> EngineProcess:
        return await self.server.start(command, log=self._root / f"engine-{name}.log")

    def _settings(self, number: int, port: int) -> dict[str, str]:
        own = {
            "HOST": LOOPBACK,
            "PORT": str(port),
            "MODEL_DIR": str(self._root / "model"),
            "MODEL_NAME": NAME,
            "SPOOL_DIR": str(self._root / f"spool-{number}"),
            "CAPTURE_FILE": str(self._root / "capture.json"),
            "BOOT_ID": f"boot-{number}",
            "INSTANCE_ID": f"instance-{number}",
            "WATCH_PID": str(os.getpid()),
        }
        return {f"ROLLBOOK_RUNTIME_{name}": value for name, value in own.items()}


@asynccontextmanager
async def _host(root: Path, libraries: tuple[str, ...], *, seats: int) -> AsyncIterator[_Host]:
    host = _Host(root, libraries, seats=seats)
    try:
        await host.server.warm(libraries)
        yield host
    finally:
        await host.server.close()


async def _ready(port: int) -> None:
    client = OipClient(host=LOOPBACK, port=port)
    try:
        for _ in range(_TRIES):
            if await client.is_ready():
                return
            await asyncio.sleep(_POLL_S)
        raise TimeoutError(f"no model was ready at port {port}")
    finally:
        await client.close()


def _answers(ports: Sequence[int]) -> list[float]:
    """Ask each model in turn, and return how long each answer took in seconds."""
    bodies, took = rest_bodies(), []
    with httpx.Client(timeout=_ANSWER_DEADLINE_S) as client:
        for number in range(-len(ports), _ANSWERS):
            url = f"http://{LOOPBACK}:{ports[number % len(ports)]}{PATH}"
            began = time.perf_counter()
            client.post(url, content=bodies[number % len(bodies)]).raise_for_status()
            # The first answer of each opens its connection.
            if number >= 0:
                took.append(time.perf_counter() - began)
    return took
