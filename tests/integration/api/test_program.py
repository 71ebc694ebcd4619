"""The program `api` as the supervisor starts it: a process with its environment."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from infra.errors import EXIT_CANNOT_START
from infra.launch import launched
from infra.ports import free_port
from infra.stack.addresses import LOOPBACK
from tests.support.plain_http import NO_AUTHORITIES

MAX_WAIT_MS = 30_000
BEFORE_ITS_TIME_IS_OVER_S = 25.0
ROOT = Path(__file__).parents[3]
START = launched("api")


async def test_it_serves_and_ends_though_somebody_waits(tmp_path: Path) -> None:
    port = free_port()
    async with started(tmp_path, port=port) as process:
        await until_ready(port)
        token = (tmp_path / "secrets" / "admin.token").read_text()
        reader, writer = await asyncio.open_connection(LOOPBACK, port)
        asked = f"GET /v1/events?after=99&wait_ms={MAX_WAIT_MS} HTTP/1.1\r\nHost: api\r\nConnection: close\r\n"
        writer.write(f"{asked}Authorization: Bearer {token}\r\n\r\n".encode())
        # What is asked later is answered, so what was asked before is in progress.
        for _ in range(3):
            await until_ready(port)

        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(BEFORE_ITS_TIME_IS_OVER_S):
            answer, code = await asyncio.gather(reader.read(), process.wait())
        writer.close()

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert code == 0


async def test_it_answers_at_the_address_that_it_is_told_to_listen_on(tmp_path: Path) -> None:
    port = free_port()
    async with (
        started(tmp_path, port=port, ROLLBOOK_API_HOST="0.0.0.0"),
        httpx.AsyncClient(timeout=180, verify=NO_AUTHORITIES) as client,
    ):
        await until_ready(port)

        answer = await client.get(f"http://127.0.0.2:{port}/healthz")

    assert answer.is_success


async def test_a_taken_port_is_said_in_one_sentence(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind((LOOPBACK, 0))
        other.listen()
        port = other.getsockname()[1]
        async with started(tmp_path, port=port) as process:
            _, log = await process.communicate()

    assert process.returncode == EXIT_CANNOT_START
    assert f"port {port}, needed for the API, is taken" in log.decode()


async def test_a_variable_that_is_no_setting_is_refused(tmp_path: Path) -> None:
    async with started(tmp_path, port=free_port(), ROLLBOOK_API_COLOUR="red") as process:
        _, log = await process.communicate()

    assert process.returncode == EXIT_CANNOT_START
    assert "ROLLBOOK_API_COLOUR is not a setting" in log.decode()


@asynccontextmanager
async def started(data_dir: Path, *, port: int, **more: str) -> AsyncIterator[asyncio.subprocess.Process]:
    kafka, clickhouse = free_port(), free_port()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("ROLLBOOK_")},
        "ROLLBOOK_API_PORT": str(port),
        "ROLLBOOK_API_DATA_DIR": str(data_dir),
        "ROLLBOOK_API_KAFKA_BOOTSTRAP": f"{LOOPBACK}:{kafka}",
        "ROLLBOOK_API_CLICKHOUSE_URL": f"http://{LOOPBACK}:{clickhouse}",
        **more,
    }
    process = await asyncio.create_subprocess_exec(
        *START, cwd=ROOT, env=environment, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def until_ready(port: int) -> None:
    async with asyncio.timeout(60), httpx.AsyncClient(timeout=180, verify=NO_AUTHORITIES) as client:
        while True:
            try:
                if (await client.get(f"http://{LOOPBACK}:{port}/readyz")).is_success:
                    return
            except httpx.TransportError:
                await asyncio.sleep(0.1)
