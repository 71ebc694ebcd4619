"""One real embedded ClickHouse server for the tests of this folder."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import clickhouse_connect
import httpx
import pytest
from clickhouse_connect.driver.client import Client

from infra.launch import launched
from infra.ports import free_port
from infra.stack.addresses import LOOPBACK
from tests.support.plain_http import NO_AUTHORITIES

READY_SECONDS = 180
PASSWORD = "s3cret"


class Server:
    """A server that can be killed and started again on the same folder."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.port = free_port()
        self.settings = settings
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def environment(self) -> dict[str, str]:
        own = {
            "HOST": LOOPBACK,
            "PORT": str(self.port),
            "DATA_DIR": str(self.folder),
            "PASSWORD": PASSWORD,
            **self.settings,
        }
        return {**os.environ, **{f"ROLLBOOK_CLICKHOUSE_{name}": value for name, value in own.items()}}

    def start(self) -> None:
        self.process = subprocess.Popen(launched("clickhouse"), env=self.environment())
        deadline = time.monotonic() + READY_SECONDS
        while not self._answers():
            assert self.process.poll() is None, f"the server ended with {self.process.returncode}"
            assert time.monotonic() < deadline, "the server is not ready in time"
            time.sleep(0.05)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(timeout=180)

    def stop(self) -> int:
        assert self.process is not None
        self.process.terminate()
        try:
            return self.process.wait(timeout=180)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def client(self) -> Client:
        return clickhouse_connect.get_client(
            host=LOOPBACK, port=self.port, username="default", password=PASSWORD, autogenerate_session_id=False
        )

    def post(self, sql: str | bytes, **parameters: str) -> httpx.Response:
        return httpx.post(
            self.url, params=parameters, content=sql, auth=("default", PASSWORD), timeout=180, verify=NO_AUTHORITIES
        )

    def stream(self, sql: str) -> AbstractContextManager[httpx.Response]:
        """Ask, and return before anything of the result is fetched."""
        return httpx.stream(
            "POST", self.url, content=sql, auth=("default", PASSWORD), timeout=180, verify=NO_AUTHORITIES
        )

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/ping", timeout=2, verify=NO_AUTHORITIES).text == "Ok.\n"
        except httpx.TransportError:
            return False


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("clickhouse"), PARALLEL_QUERIES="4", WAIT_SECONDS="1")
    try:
        running.start()
        yield running
    finally:
        running.stop()


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    connected = server.client()
    yield connected
    connected.close()
