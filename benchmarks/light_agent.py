"""The serving agent with engines that cost almost nothing: its keepers, probes and announcements are the real ones.

The first instance of the deployment that `ROLLBOOK_BENCHMARK_ALONE` names gets a process for itself, whose id is told
by a line on standard output, so that this one can be killed. All others share a process.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO
from uuid import uuid4

import msgspec

from benchmarks.light_engines import Opening
from infra.settings import load_settings
from infra.shutdown import run_program
from serving.runtime.manifest import ARTIFACT_NAME
from workers.serving_agent.app import run_agent
from workers.serving_agent.artifacts import ModelShelf
from workers.serving_agent.desired import Deployment
from workers.serving_agent.engine_process import EngineProcess
from workers.serving_agent.instance_book import InstanceBook, InstanceRecord
from workers.serving_agent.instance_start import InstanceStarter, RunningInstance
from workers.serving_agent.oip_client import OipClient
from workers.serving_agent.settings import PREFIX, AgentSettings

_DRAIN_S = 1.0
ALONE = "ROLLBOOK_BENCHMARK_ALONE"


class _Pool:
    """A process of light engines; its parent asks for one port after the other."""

    def __init__(self, model: Path) -> None:
        command = [sys.executable, "-m", "benchmarks.light_engines", str(model)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._turn = asyncio.Lock()

    async def order(self, opening: Opening) -> None:
        async with self._turn:
            await asyncio.to_thread(self._order, msgspec.json.encode(opening))

    def _order(self, line: bytes) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(line + b"\n")
        self.process.stdin.flush()
        if not self.process.stdout.readline():
            raise RuntimeError("the process of the light engines has ended")


class _Port(EngineProcess):
    """One instance among those of a process; its stop closes the port and leaves the process."""

    def __init__(self, pool: _Pool, port: int) -> None:
        super().__init__(pool.process.pid, child=None)
        self._pool = pool
        self._port = port

    async def stop(self, *, deadline_s: float) -> None:
        if not self.has_ended:
            await asyncio.wait_for(self._pool.order(Opening(port=self._port)), deadline_s)
            self.release()
            self._ended.set()


class LightStarter(InstanceStarter):
    """Opens ports in place of starting processes."""

    def __init__(
        self, settings: AgentSettings, *, shelf: ModelShelf, book: InstanceBook, environ: Mapping[str, str]
    ) -> None:
        super().__init__(settings, shelf=shelf, book=book, environ=environ)
        self._shelf_of_models = shelf
        self._pool: _Pool | None = None
        self._alone = environ.get(ALONE, "")

    async def start(self, record: InstanceRecord, deployment: Deployment, *, alone: bool = False) -> RunningInstance:  # noqa: ARG002 - all share
        model = await self._shelf_of_models.prepare(deployment) / ARTIFACT_NAME
        is_alone = (record.slot.deployment_id, record.slot.replica) == (self._alone, 0)
        if is_alone:
            self._alone = ""
            pool = _Pool(model)
        else:
            pool = self._pool = self._pool or _Pool(model)
        boot_id = f"boot-{uuid4()}"
        await pool.order(Opening(port=record.port, instance_id=record.instance_id, boot_id=boot_id))
        if is_alone:
            _announce(sys.stdout, pool.process.pid)
        client = OipClient(host="127.0.0.1", port=record.port)
        if deployment.golden is not None:
            await client.check_golden(deployment.endpoint, deployment.golden)
        started = msgspec.structs.replace(record, boot_id=boot_id)
        return RunningInstance(started, _Port(pool, record.port), client, _DRAIN_S)


def _announce(output: IO[str], pid: int) -> None:
    output.write(f"alone {pid}\n")
    output.flush()


async def _run(stopping: asyncio.Event) -> None:
    settings = load_settings(AgentSettings, PREFIX, os.environ)
    await run_agent(settings, stopping, environ=os.environ, starter=LightStarter)


if __name__ == "__main__":
    raise SystemExit(run_program("agent", _run, drain_seconds=10))
