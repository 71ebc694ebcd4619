"""Real runtimes as forks: sessions of their own that answer, end and outlive as processes that are started do."""

import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import psutil
import pytest

from infra.ports import free_port
from tests.support.engine_process import settings_of, write_model
from tests.support.plain_http import NO_AUTHORITIES
from workers.serving_agent.engine_process import EngineProcess
from workers.serving_agent.errors import MayServeLaterError
from workers.serving_agent.fork_server import ForkServer
from workers.serving_agent.launchers.base import Command
from workers.serving_agent.launchers.runtime_launcher import FORK_SERVER, SLOW_LIBRARIES

START_TIMEOUT_S = 90


class Host:
    """A fork server and one model, as an agent has them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "fork-server.log"
        self.server = ForkServer(FORK_SERVER, environ=os.environ, log=self.log)
        self.engines: list[EngineProcess] = []
        write_model(folder / "model", artifact_format="skops")

    async def start(self) -> tuple[EngineProcess, str]:
        port, number = free_port(), len(self.engines)
        settings = settings_of(self.folder, port=port, spool=f"spool-{number}")
        command = Command(arguments=(), environment=settings, is_forked=True, libraries=SLOW_LIBRARIES)
        self.engines.append(await self.server.start(command, log=self.folder / f"engine-{number}.log"))
        return self.engines[-1], f"http://127.0.0.1:{port}"

    async def ready(self) -> tuple[EngineProcess, str]:
        engine, url = await self.start()
        deadline = time.monotonic() + START_TIMEOUT_S
        while not await _is_ready(url):
            assert not engine.has_ended, (self.folder / f"engine-{len(self.engines) - 1}.log").read_text()
            assert time.monotonic() < deadline
            await engine.wait(0.02)
        return engine, url

    def pid(self) -> int:
        (pid,) = {psutil.Process(engine.pid).ppid() for engine in self.engines if not engine.has_ended}
        return int(pid)


async def _is_ready(url: str) -> bool:
    async with httpx.AsyncClient(timeout=180, verify=NO_AUTHORITIES) as client:
        try:
            return (await client.get(f"{url}/v2/health/ready")).is_success
        except httpx.TransportError:
            return False


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    host = Host(tmp_path)
    yield host
    for engine in host.engines:
        await engine.stop(deadline_s=5)
    await host.server.close()


async def test_forks_answer_under_their_own_ids_in_sessions_of_their_own(host: Host) -> None:
    (first, at), (second, at_too) = await host.ready(), await host.ready()

    pids = [
        httpx.get(f"{url}/rollbook/instance", timeout=180, verify=NO_AUTHORITIES).json()["pid"] for url in (at, at_too)
    ]
    assert pids == [first.pid, second.pid]
    assert [os.getsid(pid) for pid in pids] == pids
    assert host.pid() != os.getpid()


async def test_a_fork_is_asked_to_end_and_one_that_is_killed_is_noticed(host: Host) -> None:
    (first, _), (second, url) = await host.ready(), await host.ready()

    await first.stop(deadline_s=20)
    assert first.has_ended
    assert "instance_draining" in (host.folder / "engine-0.log").read_text()

    assert await _is_ready(url)
    os.kill(second.pid, signal.SIGKILL)
    assert await second.wait(START_TIMEOUT_S)


async def test_a_fork_holds_nothing_of_its_siblings(host: Host) -> None:
    (first, _), (second, _) = await host.ready(), await host.ready()

    logs = [{file.path for file in psutil.Process(engine.pid).open_files()} for engine in (first, second)]
    assert not any(path.endswith("engine-0.log") for path in logs[1])
    assert not any(path.endswith("fork-server.log") for path in logs[0] | logs[1])


async def test_forks_outlive_the_fork_server_and_the_next_order_starts_another(host: Host) -> None:
    _, url = await host.ready()
    server = host.pid()

    os.kill(server, signal.SIGKILL)
    with pytest.raises(MayServeLaterError, match=r"the fork server does not answer \(.*\); its log fork-server\.log "):
        await host.start()
    assert await _is_ready(url)

    _, another = await host.ready()
    assert await _is_ready(another)
    assert await _is_ready(url)


async def test_the_fork_server_ends_with_its_client(host: Host) -> None:
    _, url = await host.ready()
    server = psutil.Process(host.pid())

    await host.server.close()

    assert not server.is_running()
    assert await _is_ready(url)


async def test_an_engine_that_cannot_start_says_why_in_its_log_and_spool(host: Host) -> None:
    (host.folder / "model" / "artifact").write_bytes(b"no model")

    engine, _ = await host.start()

    assert await engine.wait(START_TIMEOUT_S)
    assert list((host.folder / "spool-0").glob("*fail*")), (host.folder / "engine-0.log").read_text()
